#include "core/stop_matcher.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace phi2 {
namespace {

constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

/// Aho-Corasick over the bytes and one more symbol, "a line begins", which is fed after every '\n' and, if the stream
/// begins with a line, before the first byte. Line-start rules begin with that symbol, so one automaton serves both
/// kinds, rules that contain line breaks included.
class TextAutomaton {
 public:
  static constexpr int kLineBegin = 256;

  explicit TextAutomaton(const std::vector<StopRule>& rules) : next_with_same_text_(rules.size(), -1) {
    root_children_.fill(kNone);
    nodes_.emplace_back();
    // Backwards, so that the list of rules with the same text ends up in ascending order.
    for (size_t i = rules.size(); i-- > 0;) {
      if (rules[i].dedent < 0 && !rules[i].text.empty()) Add(rules[i], static_cast<int>(i));
    }
    Link();
  }

  void Push(int symbol) {
    int child;
    while ((child = Child(state_, symbol)) == kNone && state_ != kRoot) state_ = nodes_[state_].fail;
    state_ = child == kNone ? kRoot : child;
  }

  /// Calls visit(rule, length in bytes) for every rule that ends here, longest first.
  template <typename Visit>
  void ForEachMatch(Visit visit) const {
    int node = nodes_[state_].first_rule >= 0 ? state_ : nodes_[state_].next_match;
    for (; node != kRoot; node = nodes_[node].next_match) {
      for (int rule = nodes_[node].first_rule; rule >= 0; rule = next_with_same_text_[rule]) {
        visit(rule, nodes_[node].n_bytes);
      }
    }
  }

  /// Length of the longest suffix of the stream that begins a rule; of the unconditional rules only, until the others
  /// are armed.
  size_t Held(bool armed) const { return nodes_[armed ? state_ : nodes_[state_].unconditional].n_bytes; }

 private:
  static constexpr int kRoot = 0;
  static constexpr int kNone = -1;

  struct Node {
    int symbol = 0;
    int first_child = kNone;
    int next_sibling = kNone;   // a node has at most as many children as there are rules
    int fail = kRoot;           // the longest proper suffix that is a node
    int next_match = kRoot;     // the nearest node along `fail` where a rule ends
    int unconditional = kRoot;  // this node or the nearest along `fail` that begins an unconditional rule
    int first_rule = -1;
    size_t n_bytes = 0;
    bool begins_unconditional = false;
  };

  void Add(const StopRule& rule, int index) {
    const bool at_line_start = rule.at == StopRule::At::kLineStart;
    int node = kRoot;
    const auto step = [&](int symbol) {
      node = ChildOrNew(node, symbol);
      nodes_[node].begins_unconditional |= !(at_line_start && rule.after_sentence);
    };
    if (at_line_start) step(kLineBegin);
    for (size_t i = 0; i < rule.text.size(); ++i) {
      step(static_cast<uint8_t>(rule.text[i]));
      if (rule.text[i] == '\n' && i + 1 < rule.text.size()) step(kLineBegin);
    }
    next_with_same_text_[index] = nodes_[node].first_rule;
    nodes_[node].first_rule = index;
  }

  /// Fills the links, breadth first: all shorter nodes are done when a node's turn comes.
  void Link() {
    std::vector<int> queue;
    queue.reserve(nodes_.size());
    queue.push_back(kRoot);
    for (size_t i = 0; i < queue.size(); ++i) {
      const int parent = queue[i];
      for (int child = nodes_[parent].first_child; child != kNone; child = nodes_[child].next_sibling) {
        Node& node = nodes_[child];
        if (parent != kRoot) {
          state_ = nodes_[parent].fail;
          Push(node.symbol);
          node.fail = state_;
        }
        const Node& suffix = nodes_[node.fail];
        node.next_match = suffix.first_rule >= 0 ? node.fail : suffix.next_match;
        node.unconditional = node.begins_unconditional ? child : suffix.unconditional;
        queue.push_back(child);
      }
    }
    state_ = kRoot;
  }

  int Child(int node, int symbol) const {
    if (node == kRoot) return root_children_[symbol];
    int child = nodes_[node].first_child;
    while (child != kNone && nodes_[child].symbol != symbol) child = nodes_[child].next_sibling;
    return child;
  }

  int ChildOrNew(int parent, int symbol) {
    int child = Child(parent, symbol);
    if (child != kNone) return child;
    child = static_cast<int>(nodes_.size());
    Node node;
    node.symbol = symbol;
    node.next_sibling = nodes_[parent].first_child;
    node.n_bytes = nodes_[parent].n_bytes + (symbol == kLineBegin ? 0 : 1);
    nodes_.push_back(node);
    nodes_[parent].first_child = child;
    if (parent == kRoot) root_children_[symbol] = child;
    return child;
  }

  std::vector<Node> nodes_;
  std::array<int, 257> root_children_;
  std::vector<int> next_with_same_text_;
  int state_ = kRoot;
};

/// Tells when a sentence or a paragraph is complete: see StopRule::after_sentence for the definition.
class SentenceScan {
 public:
  /// Returns whether the text up to and including `byte` holds a sentence or a paragraph.
  bool Push(uint8_t byte) {
    if (complete_) return true;
    if (byte < 0x80) {
      n_missing_ = 0;
      Take(byte);
    } else if (byte >= 0xC0) {
      n_missing_ = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
      character_ = byte & (0x3F >> n_missing_);
    } else if (n_missing_ > 0) {
      character_ = character_ << 6 | (byte & 0x3F);
      if (--n_missing_ == 0) Take(character_);
    }
    return complete_;
  }

 private:
  void Take(uint32_t character) {
    switch (character) {
      case '\n':
        complete_ = after_terminator_ || (has_text_ && line_is_blank_);
        line_is_blank_ = true;
        return;
      case ' ':
      case '\t':
      case '\r':
        complete_ = after_terminator_;
        return;
      case '.':
      case '!':
      case '?':
      case 0x2026:  // …
        after_terminator_ = true;
        break;
      case 0x3002:  // 。 and the full-width ！ ？: no space follows them
      case 0xFF01:
      case 0xFF1F:
        complete_ = true;
        break;
      case ')':
      case ']':
      case '}':
      case '"':
      case '\'':
      case '`':
      case '*':
      case '_':
      case 0xBB:    // »
      case 0x2019:  // ’
      case 0x201D:  // ”
        break;
      default:
        after_terminator_ = false;
    }
    has_text_ = true;
    line_is_blank_ = false;
  }

  uint32_t character_ = 0;
  int n_missing_ = 0;
  bool after_terminator_ = false;
  bool has_text_ = false;
  bool line_is_blank_ = true;
  bool complete_ = false;
};

/// Reads the rest of a line that began with a heading's label: see StopRule::heading for the definition.
class HeadingScan {
 public:
  enum class Verdict { kOpen, kHeading, kText };

  HeadingScan(int rule, size_t start) : rule_(rule), start_(start) {}

  int rule() const { return rule_; }
  size_t start() const { return start_; }

  Verdict Push(char c) {
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

  /// End of the line, or of the text.
  Verdict End() const {
    return n_words_ == 0 || (n_words_ == 1 && IsIndex(index_)) ? Verdict::kHeading : Verdict::kText;
  }

 private:
  static constexpr int kMaxRest = 64;
  static constexpr int kMaxWords = 4;

  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }
  static bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  /// "Exercises", "Practice-based", "Solution's": the label is part of a longer word. Characters beyond ASCII count as
  /// letters.
  static bool RunsOn(char c) {
    return IsLetter(c) || c == '_' || c == '-' || c == '\'' || static_cast<uint8_t>(c) >= 0x80;
  }

  /// `2`, `2.1`, `A`, `II`, each with an optional `#` or `(` before and `.` or `)` after.
  static bool IsIndex(std::string_view word) {
    if (!word.empty() && (word.front() == '#' || word.front() == '(')) word.remove_prefix(1);
    if (!word.empty() && (word.back() == '.' || word.back() == ')')) word.remove_suffix(1);
    if (word.empty()) return false;
    if (word.size() == 1 && IsLetter(word[0])) return true;
    if (word.find_first_not_of("IVXLCDM") == std::string_view::npos) return true;
    return word.find_first_not_of("0123456789.") == std::string_view::npos && IsDigit(word.front()) &&
           IsDigit(word.back()) && word.find("..") == std::string_view::npos;
  }

  /// `2.` or `2)` before a space: what comes next is the exercise itself.
  static bool IsNumberedItem(std::string_view word) {
    return (word.back() == '.' || word.back() == ')') && IsIndex(word) &&
           word.find_first_of("0123456789") != std::string_view::npos;
  }

  /// A full stop within the first word was taken for an index's; now the word is whole.
  bool EndWord() const { return n_words_ != 1 || index_.find('.') == std::string::npos || IsIndex(index_); }

  int rule_;
  size_t start_;
  int n_bytes_ = 0;
  int n_words_ = 0;
  bool in_word_ = false;
  std::string index_;  // the first word
};

/// As much of Python's lexer as is needed to tell where a block ends: see StopRule::dedent for the definition.
class BlockScan {
 public:
  BlockScan(int dedent, bool at_line_start)
      : dedent_(static_cast<size_t>(dedent)), state_(at_line_start ? State::kIndent : State::kCode) {}

  /// Returns true with the first byte of the line that ends the block.
  bool Push(char c, size_t position) {
    switch (state_) {
      case State::kIndent:
        return Indent(c, position);
      case State::kCode:
        Code(c, position);
        break;
      case State::kComment:
        if (c == '\n') EndLine(position);
        break;
      case State::kBackslash:
        if (c == '\n') {
          state_ = State::kCode;
        } else if (c != '\r') {
          Code(c, position);
        }
        break;
      case State::kOneQuote:
        if (c == quote_) {
          state_ = State::kTwoQuotes;
        } else {
          state_ = State::kString;
          String(c, position);
        }
        break;
      case State::kTwoQuotes:
        if (c == quote_) {
          state_ = State::kTripleString;
          n_quotes_ = 0;
        } else {
          Code(c, position);
        }
        break;
      case State::kString:
        String(c, position);
        break;
      case State::kTripleString:
        TripleString(c);
        break;
    }
    return false;
  }

  /// Where the text must be cut, if the next byte ends the block; kNowhere if it cannot.
  size_t Start() const {
    if (run_start_ != kNowhere) return run_start_;
    return state_ == State::kIndent ? line_start_ : kNowhere;
  }

 private:
  enum class State { kIndent, kCode, kComment, kBackslash, kOneQuote, kTwoQuotes, kString, kTripleString };

  bool Indent(char c, size_t position) {
    switch (c) {
      case ' ':
        ++column_;
        return false;
      case '\t':
        column_ = (column_ / 8 + 1) * 8;
        return false;
      case '\r':
      case '\f':
        return false;
      case '\n':
        EndLine(position);
        return false;
      default:
        break;
    }
    const bool is_low = column_ <= dedent_;
    const bool joins_next = c == '#' || c == '@';
    if (is_low && !joins_next) return true;
    if (!is_low) {
      run_start_ = kNowhere;
    } else if (run_start_ == kNowhere) {
      run_start_ = line_start_;
    }
    Code(c, position);
    return false;
  }

  void Code(char c, size_t position) {
    state_ = State::kCode;
    switch (c) {
      case '\n':
        EndLine(position);
        break;
      case '#':
        state_ = State::kComment;
        break;
      case '\\':
        state_ = State::kBackslash;
        break;
      case '"':
      case '\'':
        quote_ = c;
        state_ = State::kOneQuote;
        break;
      case '(':
      case '[':
      case '{':
        ++depth_;
        break;
      case ')':
      case ']':
      case '}':
        if (depth_ > 0) --depth_;
        break;
      default:
        break;
    }
  }

  void String(char c, size_t position) {
    if (Escaped(c)) return;
    if (c == quote_) {
      state_ = State::kCode;
    } else if (c == '\n') {
      EndLine(position);
    }
  }

  void TripleString(char c) {
    if (Escaped(c) || c != quote_) {
      n_quotes_ = 0;
    } else if (++n_quotes_ == 3) {
      state_ = State::kCode;
    }
  }

  /// A backslash hides the next character in raw strings too; "\r\n" after it is one line break.
  bool Escaped(char c) {
    if (escaped_) {
      escaped_ = c == '\r';
      return true;
    }
    escaped_ = c == '\\';
    return escaped_;
  }

  void EndLine(size_t position) {
    state_ = depth_ == 0 ? State::kIndent : State::kCode;
    line_start_ = position + 1;
    column_ = 0;
  }

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

}  // namespace

class StopMatcher::Impl {
 public:
  explicit Impl(const StopSpec& spec) : rules_(spec.rules), texts_(spec.rules) {
    for (size_t i = 0; i < rules_.size(); ++i) {
      // The widest of several dedent rules always fires first.
      if (rules_[i].dedent >= 0 && (dedent_rule_ < 0 || rules_[i].dedent > rules_[dedent_rule_].dedent)) {
        dedent_rule_ = static_cast<int>(i);
      }
    }
    if (dedent_rule_ >= 0) blocks_.emplace_back(rules_[dedent_rule_].dedent, spec.at_line_start);
    if (spec.at_line_start) texts_.Push(TextAutomaton::kLineBegin);
  }

  bool Push(std::string_view bytes) {
    if (done_) return fired_rule_ < 0;
    for (const char c : bytes) {
      held_ += c;
      if (PushByte(c)) return false;
    }
    ReleaseUpTo(FirstClaimed());
    return true;
  }

  void Finish() {
    if (done_) return;
    for (const HeadingScan& heading : headings_) {
      if (heading.End() == HeadingScan::Verdict::kHeading) Propose(heading.start(), heading.rule());
    }
    if (!FireIfProposed()) End(n_bytes_);
  }

  std::string TakeReleased() {
    std::string taken = held_.substr(taken_, n_ready_ - taken_);
    taken_ = n_ready_;
    // Moving what is held to the front costs its length, so wait until as much again was taken.
    if (done_ || taken_ >= held_.size() - taken_) {
      held_.erase(0, taken_);
      n_ready_ -= taken_;
      taken_ = 0;
    }
    return taken;
  }

  size_t released_bytes() const { return n_released_; }
  int fired_rule() const { return fired_rule_; }

 private:
  bool PushByte(char c) {
    const size_t position = n_bytes_++;
    texts_.Push(static_cast<uint8_t>(c));
    PushToHeadings(c);
    texts_.ForEachMatch([&](int rule, size_t length) { Match(rule, n_bytes_ - length); });
    if (!blocks_.empty()) {
      const size_t start = blocks_[0].Start();
      if (blocks_[0].Push(c, position)) Propose(start, dedent_rule_);
    }
    if (FireIfProposed()) return true;

    const bool has_sentence = sentence_.Push(static_cast<uint8_t>(c));
    if (c == '\n') {
      texts_.Push(TextAutomaton::kLineBegin);
      if (has_sentence && armed_from_ == kNowhere) armed_from_ = n_bytes_;
    }
    return false;
  }

  void PushToHeadings(char c) {
    for (size_t i = 0; i < headings_.size();) {
      const HeadingScan::Verdict verdict = headings_[i].Push(c);
      if (verdict == HeadingScan::Verdict::kOpen) {
        ++i;
        continue;
      }
      if (verdict == HeadingScan::Verdict::kHeading) Propose(headings_[i].start(), headings_[i].rule());
      if (i + 1 < headings_.size()) headings_[i] = std::move(headings_.back());
      headings_.pop_back();
    }
  }

  void Match(int rule, size_t start) {
    const bool at_line_start = rules_[rule].at == StopRule::At::kLineStart;
    if (at_line_start && rules_[rule].after_sentence && start < armed_from_) return;
    if (at_line_start && rules_[rule].heading) {
      headings_.emplace_back(rule, start);
    } else {
      Propose(start, rule);
    }
  }

  /// Of the rules that one byte completes, the one that began first wins; then the first in the list.
  void Propose(size_t start, int rule) {
    if (start < proposed_start_ || (start == proposed_start_ && rule < proposed_rule_)) {
      proposed_start_ = start;
      proposed_rule_ = rule;
    }
  }

  bool FireIfProposed() {
    if (proposed_start_ == kNowhere) return false;
    fired_rule_ = proposed_rule_;
    End(proposed_start_);
    return true;
  }

  size_t FirstClaimed() const {
    size_t first = n_bytes_ - texts_.Held(armed_from_ != kNowhere);
    for (const HeadingScan& heading : headings_) first = std::min(first, heading.start());
    if (!blocks_.empty()) first = std::min(first, blocks_[0].Start());
    return first;
  }

  void ReleaseUpTo(size_t position) {
    if (position <= n_released_) return;
    n_ready_ += position - n_released_;
    n_released_ = position;
  }

  void End(size_t position) {
    ReleaseUpTo(position);
    held_.resize(n_ready_);
    done_ = true;
  }

  const std::vector<StopRule> rules_;
  TextAutomaton texts_;
  SentenceScan sentence_;
  std::vector<HeadingScan> headings_;
  std::vector<BlockScan> blocks_;  // one, if there is a dedent rule
  int dedent_rule_ = -1;

  std::string held_;  // [0, taken_) taken · [taken_, n_ready_) released · the rest may still be claimed
  size_t taken_ = 0;
  size_t n_ready_ = 0;
  size_t n_bytes_ = 0;  // pushed so far
  size_t n_released_ = 0;
  size_t armed_from_ = kNowhere;  // the first line start with a sentence before it
  size_t proposed_start_ = kNowhere;
  int proposed_rule_ = -1;
  int fired_rule_ = -1;
  bool done_ = false;
};

StopMatcher::StopMatcher(const StopSpec& spec) : impl_(std::make_unique<Impl>(spec)) {}
StopMatcher::~StopMatcher() = default;
StopMatcher::StopMatcher(StopMatcher&&) noexcept = default;
StopMatcher& StopMatcher::operator=(StopMatcher&&) noexcept = default;

bool StopMatcher::Push(std::string_view bytes) { return impl_->Push(bytes); }
void StopMatcher::Finish() { impl_->Finish(); }
std::string StopMatcher::TakeReleased() { return impl_->TakeReleased(); }
size_t StopMatcher::released_bytes() const { return impl_->released_bytes(); }
int StopMatcher::fired_rule() const { return impl_->fired_rule(); }

}  // namespace phi2
