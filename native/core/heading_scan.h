#pragma once

#include <cstddef>
#include <string>

namespace phi2 {

/// Reads the rest of a line that began with a heading's label: see StopRule::heading for the definition.
class HeadingScan {
 public:
  enum class Verdict { kOpen, kHeading, kText };

  HeadingScan(int rule, size_t start) : rule_(rule), start_(start) {}

  int rule() const { return rule_; }
  size_t start() const { return start_; }

  /// Takes the next byte of the line; nothing more may be pushed once the verdict is not kOpen.
  Verdict Push(char c);

  /// End of the line, or of the text.
  Verdict End() const;

 private:
  bool EndWord() const;

  int rule_;
  size_t start_;
  int n_bytes_ = 0;
  int n_words_ = 0;
  bool in_word_ = false;
  std::string index_;  // the first word
};

}  // namespace phi2
