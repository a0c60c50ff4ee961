#pragma once

#include <cstddef>
#include <vector>

#include "core/acceptance.h"
#include "core/ngram_index.h"

namespace phi2 {

/// Follows how a text copies itself: guesses that what came after an earlier occurrence comes again. After a token that
/// is not as guessed it stays beside the copy, one token further on, as where a word was replaced; an occurrence that
/// the text agrees with better takes its place. Every token of the text is pushed, also those that were not guessed for
/// anybody: each tells for free whether the guess was right. Constant time per token.
class CopyTracker {
 public:
  /// Takes the next token of the text.
  void Push(llama_token token);

  bool has_guess() const { return following_; }

  /// How likely the next n guesses are all right, for every n up to the given one; empty without a guess.
  std::vector<double> Survival(size_t n) const;

  /// The next n tokens as guessed; only where there is a guess. A copy that reaches the end of the text goes
  /// on with what was just guessed: so a text with a period continues.
  std::vector<llama_token> Guess(size_t n) const;

  /// Tokens in a row that were as guessed.
  size_t run() const { return following_ ? evidence_.run : 0; }

  /// Tokens of the text.
  size_t size() const { return index_.tokens().size(); }

 private:
  void Follow(llama_token token);

  NgramIndex index_;
  Acceptance acceptance_;
  bool following_ = false;
  size_t next_ = 0;  // position of the token that is guessed
  Evidence evidence_;
};

}  // namespace phi2
