/** Measuring speed on this machine, and the options that suit it. */

export type { RandomModelOptions } from '../../gguf/random-model.js'
export type { Estimate } from '../../gguf/statistics.js'
export type { MadeType } from '../models/names.js'
export type { TunedGain, TunedKey, TunedProfile } from '../tuned/profile.js'
export { readProfiles, removeProfiles } from '../tuned/store.js'
export { type BenchOptions, type BenchResult, type BenchTest, bench, type Sizes } from './bench.js'
export {
  type CompareTypesOptions,
  compareTypes,
  type TypeQuality,
  type TypeResult,
  type TypesComparison,
} from './compare-types.js'
export type { Speed } from './speed.js'
export { type TuneOptions, type TuneResult, type TuneStage, type TuneTrial, tune } from './tune.js'
