export { Chat } from './chat.js'
export { Phi2Error, type Phi2ErrorCode } from './errors.js'
export { Generation } from './generation.js'
export { Phi2 } from './phi2.js'
export type { SelfCheck } from './self-check.js'
export { chatProfile, codeProfile, qaExtras, stopProfiles } from './stops.js'
export { type SystemReport, systemReport } from './system.js'
export type {
  Answer,
  ChatAnswer,
  ChatOptions,
  ChatTurn,
  CodeAnswer,
  CodeRequest,
  DedentRule,
  DeviceInfo,
  DeviceShare,
  DryOptions,
  GenerateOptions,
  KvType,
  LoadOptions,
  MemoryPlan,
  MirostatOptions,
  Mode,
  ModelInfo,
  NotTaken,
  PlannedShare,
  RestoredState,
  RestoreStateOptions,
  SavedChat,
  SavedState,
  SaveStateOptions,
  Speculate,
  StopProfile,
  StopProfileName,
  StopRule,
  TextRule,
  Timings,
  TokenAlternative,
  TokenLogprob,
  Trim,
  TunedOptions,
  Usage,
} from './types.js'
