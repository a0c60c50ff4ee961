#include "core/chunked_text.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace phi2 {
namespace {

// Tens of milliseconds of tokenizing: between pieces a cancellation is heeded.
constexpr size_t kPiece = 1 << 16;

bool IsCancelled(const ReadingOptions& options) {
  return options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed);
}

void ThrowIfCancelled(const ReadingOptions& options) {
  if (IsCancelled(options)) throw Error("PHI2_ABORTED", "The evaluation was aborted.");
}

bool ShouldAbort(void* data) { return IsCancelled(*static_cast<const ReadingOptions*>(data)); }

/// A place at or after `from` where the text can be cut without a change of its tokens: Phi-2's pre-tokenizer lets no
/// token reach from a visible character into the white space behind it.
size_t CutAfter(const std::string& text, size_t from) {
  for (size_t i = std::max<size_t>(from, 1); i < text.size(); ++i) {
    const bool space = text[i] == ' ' || text[i] == '\n';
    if (space && text[i - 1] > ' ' && text[i - 1] <= '~') return i;
  }
  return text.size();
}

/// The context that reads these chunks and gives logits at `outputs`.
EngineOptions ChunkContext(const ReadingOptions& options, PositionRange outputs) {
  EngineOptions context = options.context;
  const ChunkStep widest = PlanChunks(context.n_seq_max, context.n_ctx, context.n_batch, context.n_seq_max).front();
  context.n_seq_max = widest.n_chunks;
  context.n_batch = widest.n_chunks * widest.n_pos;
  context.n_ctx = widest.n_chunks * options.context.n_ctx;
  context.n_outputs = widest.n_chunks * std::min(widest.n_pos, outputs.size());
  // Each chunk attends to its own cells only.
  context.kv_unified = false;
  return context;
}

}  // namespace

std::vector<llama_token> TokenizeText(const Model& model, const ReadingOptions& options) {
  const std::string& text = options.text;
  const size_t n_needed =
      options.n_chunks == 0 ? SIZE_MAX : size_t{options.context.n_ctx} * std::max(options.n_chunks, 2U);
  std::vector<llama_token> tokens;
  for (size_t at = 0; at < text.size() && tokens.size() < n_needed;) {
    ThrowIfCancelled(options);
    const size_t end = CutAfter(text, at + kPiece);
    const std::vector<llama_token> piece = model.Tokenize(text.substr(at, end - at), false);
    tokens.insert(tokens.end(), piece.begin(), piece.end());
    at = end;
  }
  return tokens;
}

ChunkedText CutIntoChunks(const Model& model, const ReadingOptions& options) {
  const uint32_t n_ctx = options.context.n_ctx;
  std::vector<llama_token> tokens = TokenizeText(model, options);
  if (tokens.size() < size_t{2} * n_ctx) {
    throw Error("PHI2_TEXT_TOO_SHORT", "The text has " + std::to_string(tokens.size()) + " tokens, but chunks of " +
                                           std::to_string(n_ctx) + " need at least " + std::to_string(2 * n_ctx) +
                                           ". Give a longer text or a smaller contextSize.");
  }
  const size_t n_whole = tokens.size() / n_ctx;
  ChunkedText chunks;
  chunks.n_ctx = n_ctx;
  chunks.n_chunks =
      static_cast<uint32_t>(options.n_chunks == 0 ? n_whole : std::min<size_t>(options.n_chunks, n_whole));
  tokens.resize(size_t{n_ctx} * chunks.n_chunks);
  chunks.tokens = std::move(tokens);
  return chunks;
}

void ReadChunks(const ChunkedText& text, const ReadingOptions& options,
                const std::function<float(const ChunkStep&)>& read) {
  const EngineOptions& context = options.context;
  const std::vector<ChunkStep> steps = PlanChunks(text.n_chunks, text.n_ctx, context.n_batch, context.n_seq_max);
  for (size_t i = 0; i < steps.size(); ++i) {
    const float perplexity = read(steps[i]);
    const float fraction = static_cast<float>(i + 1) / static_cast<float>(steps.size());
    if (options.on_progress) options.on_progress(fraction, perplexity);
  }
}

ChunkDecoder::ChunkDecoder(std::shared_ptr<const Model> model, const ReadingOptions& options, PositionRange outputs,
                           ggml_backend_sched_eval_callback on_tensor, void* on_tensor_data)
    : model_(std::move(model)),
      options_(options),
      outputs_(outputs),
      context_(*model_, ChunkContext(options, outputs), ShouldAbort, const_cast<ReadingOptions*>(&options), on_tensor,
               on_tensor_data),
      batch_(static_cast<int32_t>(context_.n_batch())) {}

void ChunkDecoder::Decode(const ChunkedText& text, const ChunkStep& step) {
  ThrowIfCancelled(options_);
  if (step.first_pos == 0) llama_memory_clear(context_.memory(), false);
  int32_t n = 0;
  for (uint32_t chunk = 0; chunk < step.n_chunks; ++chunk) {
    for (uint32_t pos = step.first_pos; pos < step.first_pos + step.n_pos; ++pos, ++n) {
      batch_->token[n] = text.At(step.first_chunk + chunk, pos);
      batch_->pos[n] = static_cast<llama_pos>(pos);
      batch_->n_seq_id[n] = 1;
      batch_->seq_id[n][0] = static_cast<llama_seq_id>(chunk);
      batch_->logits[n] = pos >= outputs_.begin && pos < outputs_.end ? 1 : 0;
    }
  }
  batch_->n_tokens = n;
  const int32_t status = llama_decode(context_.get(), *batch_);
  ThrowIfCancelled(options_);
  if (status != 0) {
    throw Error("PHI2_DECODE_FAILED", "The engine failed to decode a batch of " + std::to_string(n) + " tokens (" +
                                          std::to_string(status) + ").");
  }
  llama_synchronize(context_.get());
  logits_ = outputs_.Within(step).size() == 0 ? nullptr : llama_get_logits(context_.get());
}

const float* ChunkDecoder::Logits(const ChunkStep& step, uint32_t chunk, uint32_t pos) const {
  const PositionRange rows = outputs_.Within(step);
  return logits_ + (size_t{chunk} * rows.size() + (pos - rows.begin)) * static_cast<size_t>(n_vocab());
}

}  // namespace phi2
