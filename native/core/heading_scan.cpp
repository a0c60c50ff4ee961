#include "core/heading_scan.h"

#include <cstdint>
#include <string_view>

namespace phi2 {
namespace {

constexpr int kMaxRest = 64;
constexpr int kMaxWords = 4;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// "Exercises", "Practice-based", "Solution's": the label is part of a longer word. Characters beyond ASCII count as
/// letters.
bool RunsOn(char c) { return IsLetter(c) || c == '_' || c == '-' || c == '\'' || static_cast<uint8_t>(c) >= 0x80; }

/// `2`, `2.1`, `A`, `II`, each with an optional `#` or `(` before and `.` or `)` after.
bool IsIndex(std::string_view word) {
  if (!word.empty() && (word.front() == '#' || word.front() == '(')) word.remove_prefix(1);
  if (!word.empty() && (word.back() == '.' || word.back() == ')')) word.remove_suffix(1);
  if (word.empty()) return false;
  if (word.size() == 1 && IsLetter(word[0])) return true;
  if (word.find_first_not_of("IVXLCDM") == std::string_view::npos) return true;
  return word.find_first_not_of("0123456789.") == std::string_view::npos && IsDigit(word.front()) &&
         IsDigit(word.back()) && word.find("..") == std::string_view::npos;
}

/// `2.` or `2)` before a space: what comes next is the exercise itself.
bool IsNumberedItem(std::string_view word) {
  return (word.back() == '.' || word.back() == ')') && IsIndex(word) &&
         word.find_first_of("0123456789") != std::string_view::npos;
}

}  // namespace

HeadingScan::Verdict HeadingScan::Push(char c) {
  if (c == '\n') return End();
  if (++n_bytes_ > kMaxRest) return Verdict::kText;
  if (c == ' ' || c == '\t' || c == '\r') {
    if (in_word_ && !EndWord()) return Verdict::kText;
    if (in_word_ && n_words_ == 1 && IsNumberedItem(index_)) return Verdict::kHeading;
    in_word_ = false;
    return Verdict::kOpen;
  }
  if (c == ':') return EndWord() ? Verdict::kHeading : Verdict::kText;
  if (n_bytes_ == 1 && RunsOn(c)) return Verdict::kText;
  if (c == '!' || c == '?' || c == ',' || c == ';') return Verdict::kText;
  if (!in_word_) {
    in_word_ = true;
    if (++n_words_ > kMaxWords) return Verdict::kText;
  }
  if (n_words_ == 1) index_ += c;
  if (c == '.' && (n_words_ > 1 || !IsIndex(index_))) return Verdict::kText;
  return Verdict::kOpen;
}

HeadingScan::Verdict HeadingScan::End() const {
  return n_words_ == 0 || (n_words_ == 1 && IsIndex(index_)) ? Verdict::kHeading : Verdict::kText;
}

/// A full stop within the first word was taken for an index's; now the word is whole.
bool HeadingScan::EndWord() const { return n_words_ != 1 || index_.find('.') == std::string::npos || IsIndex(index_); }

}  // namespace phi2
