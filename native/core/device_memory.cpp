#include "core/device_memory.h"

#include <algorithm>
#include <cmath>

// Not one of llama.cpp's public headers: nothing in those tells what lies on which device.
#include "llama-ext.h"

namespace phi2 {
namespace {

DeviceShare& ShareOn(std::vector<DeviceShare>& shares, const char* name) {
  const auto found =
      std::find_if(shares.begin(), shares.end(), [name](const DeviceShare& share) { return share.name == name; });
  return found == shares.end() ? shares.back() : *found;
}

/// Each device has the KV cache of its own layers, and those of all layers are alike.
void CountLayers(std::vector<DeviceShare>& shares, int32_t n_layer, bool output_on_gpu) {
  double kv = 0;
  for (const DeviceShare& share : shares) kv += static_cast<double>(share.kv);
  for (DeviceShare& share : shares) {
    share.n_layers = static_cast<int32_t>(std::lround(static_cast<double>(share.kv) / kv * n_layer));
  }
  // Layers go to the devices in order, the output layer last.
  auto output = shares.rbegin();
  if (output_on_gpu) {
    output = std::find_if(output + 1, shares.rend(), [](const DeviceShare& share) { return share.weights > 0; });
  }
  if (output != shares.rend()) ++output->n_layers;
}

}  // namespace

std::vector<DeviceShare> SharesOf(const Model& model, const Context& context) {
  std::vector<DeviceShare> shares;
  for (ggml_backend_dev_t gpu : model.gpus()) {
    shares.emplace_back();
    shares.back().name = ggml_backend_dev_name(gpu);
  }
  shares.emplace_back();
  shares.back().name = ggml_backend_dev_name(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));

  for (const auto& [type, bytes] : llama_get_memory_breakdown(context.get())) {
    // A GPU's pinned buffers are the machine's memory; some CPU buffers name no device.
    ggml_backend_dev_t device = ggml_backend_buft_is_host(type) ? nullptr : ggml_backend_buft_get_device(type);
    DeviceShare& share = device == nullptr ? shares.back() : ShareOn(shares, ggml_backend_dev_name(device));
    if (&share != &shares.back()) share.weights += bytes.model;
    share.kv += bytes.context;
    share.compute += bytes.compute;
  }
  // Of the machine's memory the engine counts the whole mapping of the file, also what was copied out of it.
  uint64_t on_gpus = 0;
  for (const DeviceShare& share : shares) on_gpus += share.weights;
  const uint64_t size = llama_model_size(model.get());
  shares.back().weights = size > on_gpus ? size - on_gpus : 0;
  CountLayers(shares, llama_model_n_layer(model.get()), model.n_gpu_layers() > 0);
  return shares;
}

void AddShares(std::vector<DeviceShare>& shares, const std::vector<DeviceShare>& others) {
  for (const DeviceShare& other : others) {
    DeviceShare& share = ShareOn(shares, other.name.c_str());
    share.weights += other.weights;
    share.kv += other.kv;
    share.compute += other.compute;
  }
}

MemoryNeed MeasureMemory(const ModelOptions& model, const EngineOptions& options, const ModelOptions* draft) {
  EngineOptions single = options;
  single.n_threads = 1;  // nothing is computed
  const auto measure = [](ModelOptions of, const EngineOptions& with) {
    of.no_alloc = true;
    const std::shared_ptr<Model> measured = Model::Load(of);
    const Context context(*measured, with, nullptr, nullptr);
    return std::make_pair(SharesOf(*measured, context), llama_model_n_layer(measured->get()) + 1);
  };
  auto [devices, n_layers] = measure(model, ForEngine(single));
  if (draft != nullptr) AddShares(devices, measure(*draft, ForDrafts(single)).first);
  return {std::move(devices), n_layers};
}

}  // namespace phi2
