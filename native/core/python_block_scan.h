#pragma once

#include <cstddef>
#include <limits>

namespace phi2 {

/// As much of Python's lexer as is needed to tell where a block ends: see StopRule::dedent for the definition.
class PythonBlockScan {
 public:
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();  // after every position

  /// `dedent`: the columns of the line that opened the block.
  PythonBlockScan(int dedent, bool at_line_start);

  /// Takes the byte at `position` of the text. Returns true with the first byte of the line that ends the block.
  bool Push(char c, size_t position);

  /// Where the text must be cut, if the next byte ends the block; kNowhere if it cannot.
  size_t Start() const;

 private:
  enum class State { kIndent, kCode, kComment, kBackslash, kOneQuote, kTwoQuotes, kString, kTripleString };

  bool Indent(char c, size_t position);
  void Code(char c, size_t position);
  void String(char c, size_t position);
  void TripleString(char c);
  bool Escaped(char c);
  void EndLine(size_t position);

  size_t dedent_;
  State state_;
  size_t line_start_ = 0;
  size_t column_ = 0;
  size_t run_start_ = kNowhere;  // first of the low comments and decorators that go with the next line
  size_t depth_ = 0;
  char quote_ = 0;
  int n_quotes_ = 0;
  bool escaped_ = false;
};

}  // namespace phi2
