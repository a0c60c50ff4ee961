/** What `convert` can write. Apart from it, so that the help of the command line need not load it. */
export const OUT_TYPES = ['auto', 'f32', 'f16', 'bf16', 'q8_0'] as const
export type OutType = (typeof OUT_TYPES)[number]
