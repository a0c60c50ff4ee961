/**
 * How a checkpoint calls its weights: as Transformers has it since January 2024, or as the code that came with them had it
 * before. Apart from what writes them, so that the help of the command line need not load it.
 */
export const NAMINGS = ['current', 'remote-code'] as const
export type CheckpointNaming = (typeof NAMINGS)[number]
