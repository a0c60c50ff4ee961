#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/model.h"

namespace phi2 {

/// What one device holds of a model and its contexts, in bytes.
struct DeviceShare {
  std::string name;
  int32_t n_layers = 0;  ///< the output layer counts as one more
  uint64_t weights = 0;
  uint64_t kv = 0;
  uint64_t compute = 0;
};

/// As the engine itself counts it: the model's GPUs in their order, then the CPU with all that is in its memory.
std::vector<DeviceShare> SharesOf(const Model& model, const Context& context);

/// Adds what another model holds on the same devices; layers are those of the first.
void AddShares(std::vector<DeviceShare>& shares, const std::vector<DeviceShare>& others);

struct MemoryNeed {
  std::vector<DeviceShare> devices;
  int32_t n_layers = 0;  ///< the output layer counts as one more
};

/// What an engine with these options would take up, without taking it: the engine goes through its own allocations and
/// adds them up. Reads the files' headers, so it takes a while: for worker threads. `draft`: the draft model, null for
/// none. Throws what Model::Load() and Context() throw.
MemoryNeed MeasureMemory(const ModelOptions& model, const EngineOptions& options, const ModelOptions* draft);

}  // namespace phi2
