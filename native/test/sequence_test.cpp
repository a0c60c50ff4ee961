#include "core/sequence.h"

#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "tiny.h"

namespace {

using phi2::Chunk;
using phi2::Ending;
using phi2::EndReason;
using phi2::RequestSpec;
using phi2::Sequence;
using phi2::StopRule;
using phi2::test::Tiny;

/// A sequence that is fed with the logits of chosen tokens, as the engine would after decoding.
class Fed {
 public:
  explicit Fed(RequestSpec spec, size_t n_limit = 2048) : sequence_(1, 1, std::move(spec), Tiny()) {
    sequence_.Admit(0, 0, n_limit, n_limit);
  }

  /// Until it ends; `tokens` are the likeliest ones, one after the other.
  void Feed(const std::vector<llama_token>& tokens) {
    std::vector<float> row(static_cast<size_t>(Tiny()->n_vocab()));
    for (const llama_token token : tokens) {
      if (sequence_.ended) return;
      row[static_cast<size_t>(token)] = 10;
      sequence_.OnLogits(sequence_.tokens().size() - 1, row.data());
      row[static_cast<size_t>(token)] = 0;
      const Chunk chunk = sequence_.TakeChunk();
      text += chunk.text;
      released.insert(released.end(), chunk.tokens.begin(), chunk.tokens.end());
      logprobs += chunk.logprobs.size();
      alternatives += chunk.top_tokens.size();
    }
  }

  Ending End(EndReason reason) {
    sequence_.End(reason);
    const Chunk chunk = sequence_.TakeChunk();
    text += chunk.text;
    released.insert(released.end(), chunk.tokens.begin(), chunk.tokens.end());
    return sequence_.TakeEnding();
  }

  Sequence& sequence() { return sequence_; }

  std::string text;
  std::vector<llama_token> released;
  size_t logprobs = 0;
  size_t alternatives = 0;

 private:
  Sequence sequence_;
};

RequestSpec Request(int32_t n_predict, std::vector<StopRule> rules = {}) {
  RequestSpec spec;
  spec.tokens = Tiny()->Tokenize("Once upon", false);
  spec.n_predict = n_predict;
  spec.stop.rules = std::move(rules);
  return spec;
}

std::vector<llama_token> Tokens(const std::string& text) { return Tiny()->Tokenize(text, true); }

TEST("text and tokens come out as they are certain; n_predict and the place are limits") {
  const std::vector<llama_token> tokens = Tokens(" a time there was a small dog");
  Fed limited(Request(3));
  limited.Feed(tokens);
  CHECK(limited.sequence().ended);
  CHECK_EQ(limited.released, std::vector<llama_token>(tokens.begin(), tokens.begin() + 3));
  const Ending ending = limited.End(EndReason::kAbort);  // has ended already
  CHECK(ending.reason == EndReason::kLength);
  CHECK_EQ(ending.n_generated, 3);

  const size_t n_prompt = Request(1).tokens.size();
  Fed full(Request(100), n_prompt + 2);
  full.Feed(tokens);
  CHECK(full.sequence().ended);
  CHECK_EQ(full.released.size(), 3U);  // the last needs no place
}

TEST("a character of several tokens comes out whole, and broken off as a replacement character") {
  const std::string smile = "\xF0\x9F\x98\x80";
  const std::vector<llama_token> tokens = Tokens(smile);
  CHECK(tokens.size() > 1);
  Fed whole(Request(10));
  whole.Feed({tokens.begin(), tokens.end() - 1});
  CHECK_EQ(whole.text, "");
  whole.Feed({tokens.back()});
  CHECK_EQ(whole.text, smile);

  Fed broken(Request(10));
  broken.Feed({tokens.front()});
  broken.End(EndReason::kAbort);
  CHECK_EQ(broken.text, "\xEF\xBF\xBD");
}

TEST("what a stop rule may still claim is held back: lost when it fires, released when it does not or at an abort") {
  const StopRule rule = {"Instruct:", StopRule::At::kLineStart};
  Fed stopped(Request(20, {rule}));
  stopped.Feed(Tokens(" Yes.\nInstruct: more"));
  CHECK(stopped.sequence().ended);
  CHECK_EQ(stopped.text, " Yes.\n");
  CHECK_EQ(stopped.End(EndReason::kAbort).rule, 0);

  Fed other(Request(20, {rule}));
  other.Feed(Tokens(" Yes.\nInstructions help"));
  CHECK_EQ(other.text, " Yes.\nInstructions help");

  Fed aborted(Request(20, {rule}));
  aborted.Feed(Tokens(" Yes.\nInstruct"));
  CHECK_EQ(aborted.text, " Yes.\n");
  CHECK(aborted.End(EndReason::kAbort).reason == EndReason::kAbort);
  CHECK_EQ(aborted.text, " Yes.\nInstruct");
}

TEST("<|endoftext|> ends it and is no part of the text") {
  Fed fed(Request(20));
  fed.Feed(Tokens(" Yes.<|endoftext|> No."));
  CHECK_EQ(fed.text, " Yes.");
  const Ending ending = fed.End(EndReason::kAbort);
  CHECK(ending.reason == EndReason::kStop);
  CHECK_EQ(ending.rule, phi2::kEndOfText);
}

TEST("log-probabilities come with each token that is released") {
  RequestSpec spec = Request(20, {{"\n", StopRule::At::kAnywhere}});
  spec.n_probs = 3;
  Fed fed(std::move(spec));
  fed.Feed(Tokens(" Yes and no.\nMore"));
  CHECK(fed.released.size() >= 4);
  CHECK_EQ(fed.logprobs, fed.released.size());
  CHECK_EQ(fed.alternatives, 3 * fed.released.size());
}

TEST("a failure keeps its code, whatever was held back") {
  Fed fed(Request(20, {{"Instruct:", StopRule::At::kAnywhere}}));
  fed.Feed(Tokens(" Yes. Instruct"));
  fed.sequence().Fail("PHI2_DECODE_FAILED", "broken");
  const Ending ending = fed.End(EndReason::kAbort);
  CHECK(ending.reason == EndReason::kError);
  CHECK_EQ(std::string(ending.error_code), "PHI2_DECODE_FAILED");
  CHECK_EQ(fed.text, " Yes. Instruct");
}

}  // namespace

TEST_MAIN()
