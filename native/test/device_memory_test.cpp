#include "core/device_memory.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/error.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::Context;
using phi2::DeviceShare;
using phi2::EngineOptions;
using phi2::MemoryNeed;
using phi2::Model;
using phi2::ModelOptions;
using phi2::test::CodeOf;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::TinyOptions;

TEST("what is measured is what an engine takes") {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_F32}) {
    for (const llama_flash_attn_type flash_attn : {LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED}) {
      EngineOptions options = SmallEngine();
      options.type_kv = type;
      options.flash_attn = flash_attn;
      const MemoryNeed need = phi2::MeasureMemory(TinyOptions(), options, nullptr);
      CHECK_EQ(need.n_layers, llama_model_n_layer(Tiny()->get()) + 1);
      CHECK_EQ(need.devices.size(), 1U);
      const DeviceShare& planned = need.devices.front();

      const Context context(*Tiny(), ForEngine(options), nullptr, nullptr);
      const DeviceShare taken = phi2::SharesOf(*Tiny(), context).front();
      CHECK_EQ(planned.name, taken.name);
      CHECK_EQ(planned.n_layers, need.n_layers);
      CHECK_EQ(taken.n_layers, need.n_layers);
      CHECK_EQ(planned.kv, taken.kv);
      CHECK_EQ(planned.compute, taken.compute);
      const uint64_t n_embd = static_cast<uint64_t>(llama_model_n_embd(Tiny()->get()));
      const uint64_t n_layer = static_cast<uint64_t>(llama_model_n_layer(Tiny()->get()));
      CHECK_EQ(planned.kv, 2 * n_layer * options.n_ctx * ggml_row_size(type, static_cast<int64_t>(n_embd)));
      CHECK_EQ(planned.weights, llama_model_size(Tiny()->get()));
      CHECK_EQ(taken.weights, planned.weights);
    }
  }
}

TEST("a draft model counts too, its layers do not") {
  const ModelOptions draft = TinyOptions();
  const MemoryNeed alone = phi2::MeasureMemory(TinyOptions(), SmallEngine(), nullptr);
  const MemoryNeed both = phi2::MeasureMemory(TinyOptions(), SmallEngine(), &draft);
  CHECK_EQ(both.devices.front().weights, 2 * alone.devices.front().weights);
  CHECK_EQ(both.devices.front().kv, 2 * alone.devices.front().kv);
  CHECK(both.devices.front().compute > alone.devices.front().compute);
  CHECK_EQ(both.devices.front().n_layers, alone.n_layers);

  phi2::test::Recorder recorder;
  phi2::DraftOptions with;
  with.model = Tiny();
  const phi2::Engine engine(Tiny(), SmallEngine(), &recorder, with);
  CHECK_EQ(engine.shares().size(), 1U);
  CHECK_EQ(engine.shares().front().kv, both.devices.front().kv);
  CHECK_EQ(engine.shares().front().compute, both.devices.front().compute);
}

TEST("a cache of any size is measured without being made") {
  EngineOptions options = SmallEngine();
  const MemoryNeed small = phi2::MeasureMemory(TinyOptions(), options, nullptr);
  options.n_ctx *= 2048;
  const MemoryNeed large = phi2::MeasureMemory(TinyOptions(), options, nullptr);
  CHECK_EQ(large.devices.front().kv, small.devices.front().kv * 2048);
}

TEST("a device that is not there, or is no GPU, is refused by name") {
  for (const char* name : {"CUDA7", "CPU", ""}) {
    ModelOptions options = TinyOptions();
    options.n_gpu_layers = -1;
    options.devices = {name};
    CHECK_EQ(CodeOf([&] { Model::Load(options); }), "PHI2_MODE_UNAVAILABLE");
  }
}

TEST("without devices the CPU has all layers, whatever their number says") {
  ModelOptions options = TinyOptions();
  options.n_gpu_layers = 20;
  const auto model = Model::Load(options);
  CHECK(model->on_cpu());
  CHECK_EQ(model->n_gpu_layers(), 0);
}

}  // namespace

TEST_MAIN()
