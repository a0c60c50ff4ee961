#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/acceptance.h"
#include "core/context.h"
#include "core/device_memory.h"
#include "core/model.h"
#include "core/step_cost.h"

namespace phi2 {

/// A smaller model of the same vocabulary that writes ahead greedily, for all sequences together. Its cache has a
/// sequence for each of the engine's, which holds whatever it held last. Engine thread only; shares the engine's thread
/// pool.
class DraftModel {
 public:
  using Tokens = std::vector<llama_token>;

  struct Draft {
    int32_t slot = 0;                ///< sequence id
    const Tokens* tokens = nullptr;  ///< that the draft continues
    size_t n_max = 0;
    double least = 0;  ///< the draft ends when it is right as a whole with less probability
    const ConfidenceAcceptance* acceptance = nullptr;  ///< which says so; must not be null
    Tokens guesses;                                    ///< the result
    std::vector<float> confidences;                    ///< probability that the model gives to each guess
  };

  /// `engine`: the context of the large model, which must outlive this one.
  DraftModel(std::shared_ptr<const Model> model, const EngineOptions& options, const Context& engine,
             ggml_abort_callback should_abort, void* data);

  /// How many of these tokens the slot does not hold yet, the last one aside; what else it holds is forgotten.
  size_t Missing(int32_t slot, const Tokens& tokens);

  /// Reads at most n of the missing tokens. It may fail after an abort or for want of cells: they are still missing
  /// then.
  void Read(int32_t slot, const Tokens& tokens, size_t n);

  /// Fills in the guesses, having read what was missing, in one step all of it; none after an abort or for want of
  /// cells.
  void Guess(std::vector<Draft>& drafts);

  /// Time of a step by its tokens.
  const StepCost& cost() const { return cost_; }

  std::vector<DeviceShare> shares() const { return SharesOf(*model_, context_); }

  /// Of the large model's weights, how many this one has.
  double relative_size() const { return relative_size_; }

 private:
  int32_t Add(int32_t slot, llama_token token, bool output);
  bool Decode();
  void EvictOthers();
  void Keep(int32_t slot, size_t n);
  bool ChooseNext(Draft& draft, int32_t row) const;

  std::shared_ptr<const Model> model_;
  Context context_;
  Batch batch_;
  std::vector<Tokens> held_;  // by slot; those of the batch included
  StepCost cost_;
  double relative_size_;
};

/// Throws PHI2_VOCABULARY_MISMATCH unless both models can generate the same tokens under the same ids.
void RefuseOtherVocabulary(const Model& model, const Model& draft_model);

}  // namespace phi2
