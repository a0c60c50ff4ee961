#include "core/perplexity.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"

namespace phi2 {
namespace {

/// Both see the same ids, so that their predictions can be compared one by one.
void RefuseOtherVocabulary(const Model& model, const Model& base, const ChunkedText& text,
                           const ReadingOptions& options) {
  if (model.n_vocab() != base.n_vocab()) {
    throw Error("PHI2_VOCABULARY_MISMATCH", "The model has a vocabulary of " + std::to_string(model.n_vocab()) +
                                                " tokens and the reference of " + std::to_string(base.n_vocab()) +
                                                ": their predictions cannot be compared.");
  }
  std::vector<llama_token> tokens = TokenizeText(base, options);
  tokens.resize(std::min(tokens.size(), text.tokens.size()));
  if (tokens != text.tokens) {
    throw Error("PHI2_VOCABULARY_MISMATCH",
                "The model and the reference split this text into different tokens: their predictions cannot be "
                "compared. Expected two files of one model, such as a quantized one and the F16 it was made from.");
  }
}

}  // namespace

PerplexityResult Perplexity(const PerplexityOptions& options) {
  const ReadingOptions& reading = options.reading;
  const std::shared_ptr<const Model> model = Model::Load(reading.model);
  const ChunkedText text = CutIntoChunks(*model, reading);

  const PositionRange range = ScoredPositions(text.n_ctx);
  std::vector<std::string> warnings = model->warnings();
  std::unique_ptr<ChunkDecoder> base_decoder;
  if (!options.path_base.empty()) {
    ModelOptions base_options = reading.model;
    base_options.path = options.path_base;
    const std::shared_ptr<const Model> base = Model::Load(base_options);
    RefuseOtherVocabulary(*model, *base, text, reading);
    for (const std::string& warning : base->warnings()) warnings.push_back("The reference: " + warning);
    base_decoder = std::make_unique<ChunkDecoder>(base, reading, range);
  }
  ChunkDecoder decoder(model, reading, range);

  ChunkScorer scorer(text, reading, base_decoder != nullptr);
  ReadChunks(text, reading, [&](const ChunkStep& step) {
    if (base_decoder) base_decoder->Decode(text, step);
    decoder.Decode(text, step);
    scorer.Score(step, decoder, base_decoder.get());
    return scorer.perplexity();
  });
  return {text.n_chunks, scorer.Take(), llama_model_n_ctx_train(model->get()), std::move(warnings)};
}

}  // namespace phi2
