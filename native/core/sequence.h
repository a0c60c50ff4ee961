#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/failure.h"
#include "core/model.h"
#include "core/sampler.h"
#include "core/stop_matcher.h"
#include "core/utf8.h"

namespace phi2 {

/// Cells that come from outside instead of being computed, and what became of them.
struct CellsToWrite {
  struct Outcome {
    bool written = false;  ///< else the tokens before them are not cached (any more), or there is a failure
    std::optional<Failure> failure;
  };

  size_t first = 0;                ///< their first position
  const uint8_t* plain = nullptr;  ///< up to the end of the prompt, see kv_cells.h; must last until `done`
  Outcome outcome;
  std::promise<Outcome> done;
};

/// Who guesses what an answer will be: the draft model if the engine has one, nobody, the text that is copied, or the
/// draft model.
enum class Speculate { kAuto, kNone, kLookup, kDraft };

/// Everything that one request consists of; frozen at Submit().
struct RequestSpec {
  std::vector<llama_token> tokens;  ///< the prompt
  int32_t n_predict = 0;            ///< 0: only the prompt is decoded
  SamplerSpec sampler;
  StopSpec stop;
  int32_t n_probs = -1;  ///< -1: no log-probabilities; otherwise alternatives per token
  bool prompt_logprobs = false;
  /// The text must depend on prompt and seed only. Rounding depends on how a prompt is cut into steps and on where its
  /// cells lie, so such a request reuses nothing, is read in steps of a fixed size, begins with an empty cache if
  /// nothing else is running, and is not preempted while its reader keeps up. Beside other requests it shares their
  /// steps.
  bool reproducible = false;
  std::vector<int32_t> logit_positions;    ///< ascending prompt positions whose raw logits come back
  Speculate speculate = Speculate::kNone;  ///< kAuto until Submit()
  int32_t n_draft = 0;                     ///< length of every draft; 0: as long as is worth its time
  std::shared_ptr<CellsToWrite> cells;     ///< the request only puts these into the cache: nothing is decoded
  int32_t priority = 0;                    ///< higher comes first

  /// Whether something is kept of the positions that are read: none may be left out, or read twice.
  bool records() const { return prompt_logprobs || !logit_positions.empty(); }
};

/// Text that became certain since the last chunk, with the tokens that begin in it.
struct Chunk {
  std::string text;  ///< valid UTF-8
  std::vector<llama_token> tokens;
  std::vector<float> logprobs;          ///< one per token, if asked for
  std::vector<llama_token> top_tokens;  ///< n_probs per token
  std::vector<float> top_logprobs;

  bool empty() const { return text.empty() && tokens.empty(); }
};

enum class EndReason { kStop, kLength, kAbort, kError };

constexpr int32_t kNoRule = -1;
constexpr int32_t kEndOfText = -2;

/// Tokens that were guessed and decoded together with the one before, and those of them that turned out right.
struct DraftCount {
  size_t n_drafted = 0;
  size_t n_accepted = 0;
};

/// The last that is heard of a request.
struct Ending {
  EndReason reason = EndReason::kStop;
  int32_t rule = kNoRule;       ///< index into StopSpec::rules, kEndOfText, or kNoRule
  const char* error_code = "";  ///< a string literal
  std::string error_message;
  int32_t n_prompt = 0;
  int32_t n_cached = 0;
  int32_t n_generated = 0;
  DraftCount drafts;
  double queue_ms = 0;
  double prompt_ms = 0;
  double decode_ms = 0;
  std::vector<float> prompt_logprobs;
  std::vector<float> logits;
};

/// One answer on its way: what is decoded, what is held back, how it ended. Belongs to the engine thread once admitted.
class Sequence {
 public:
  /// On the submitting thread: building the sampler takes a moment that others should not wait for. `group`: the id of
  /// the first choice, if there are several of one request; they are submitted together.
  Sequence(uint32_t id, uint32_t group, RequestSpec spec, std::shared_ptr<const Model> model);

  uint32_t id() const { return id_; }
  uint32_t group() const { return group_; }
  int32_t priority() const { return spec_.priority; }
  const RequestSpec& spec() const { return spec_; }
  /// Prompt and generated tokens.
  const std::vector<llama_token>& tokens() const { return tokens_; }
  size_t n_prompt() const { return spec_.tokens.size(); }
  /// More than one token is left to decode: of the prompt, or of what it had when it was preempted. Otherwise it is the
  /// token that was generated last, or the last one of the prompt.
  bool reading() const { return tokens_.size() - n_past > 1; }
  bool wants_output(size_t position) const;
  /// Of the prompt, generated, or drafted behind it.
  llama_token TokenAt(size_t position) const;

  /// Tokens that a draft may have: behind it there is a place for one more.
  size_t max_draft() const;
  /// The step is over that had n tokens of the draft in it, behind the first n_known tokens.
  void SettleDraft(size_t n_known, size_t n);
  const DraftCount& drafts() const { return ending_.drafts; }

  /// Called when the sequence gets its place; `reused` tokens need no decoding. It can be sure of `promised` cells, and
  /// may have up to n_limit.
  void Admit(int32_t slot, size_t reused, size_t promised, size_t n_limit);
  /// It was preempted: what it has stays, and everything is to be decoded again.
  void LosePlace();
  bool has_place() const { return seq_id >= 0; }
  size_t promised() const { return promised_; }
  uint32_t n_preempted() const { return n_preempted_; }
  /// A request of which nothing has had a place yet; asked of its first choice.
  bool is_untouched_request() const { return id_ == group_ && !was_admitted_; }

  /// Its reader lags behind.
  void SetPaused(bool paused);
  bool paused() const { return paused_; }
  std::chrono::steady_clock::duration PausedFor() const { return Clock::now() - paused_at_; }

  /// Takes the logits of a decoded position: records what was asked about the prompt, and at the last position samples.
  /// When that was the last token, `ended` is set. Throws Error out of the sampler.
  void OnLogits(size_t position, const float* logits);

  /// Ends it from outside. Held-back text is released.
  void End(EndReason reason);
  void Fail(const char* code, const std::string& message);

  Chunk TakeChunk();
  Ending TakeEnding();

  // --- book-keeping of the engine ---
  int32_t seq_id = -1;
  size_t n_past = 0;  ///< tokens in the KV cache
  /// Guesses of what follows tokens(): decoded with the pending token in one step, each kept only if the sampler picks
  /// the same. Refilled before every step by whoever guesses; empty while prefilling.
  std::vector<llama_token> draft;
  bool waits_for_prefix = false;  ///< in the queue: another one is just reading what both begin with
  bool ended = false;

 private:
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;

  struct Held {
    llama_token token;
    size_t start;  // offset of its first byte in the generated text
    TokenLogprobs logprobs;
  };

  void Accept(const float* logits);
  void Release();
  void Finish(EndReason reason, int32_t rule);

  uint32_t id_;
  uint32_t group_;
  RequestSpec spec_;
  std::shared_ptr<const Model> model_;
  std::vector<llama_token> tokens_;
  Sampler sampler_;
  StopMatcher matcher_;
  Utf8Assembler utf8_;
  std::deque<Held> held_;
  size_t generated_bytes_ = 0;
  size_t promised_ = 0;
  size_t n_limit_ = 0;
  bool was_admitted_ = false;
  uint32_t n_preempted_ = 0;
  bool paused_ = false;
  Clock::time_point paused_at_;
  Chunk chunk_;
  Ending ending_;
  Clock::time_point submitted_;
  Clock::time_point first_token_;
  Clock::time_point waiting_since_;
  Milliseconds waited_{0};           // for places, in all
  Milliseconds waited_at_first_{0};  // before the first token
};

}  // namespace phi2
