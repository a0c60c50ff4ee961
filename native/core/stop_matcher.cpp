#include "core/stop_matcher.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/heading_scan.h"
#include "core/python_block_scan.h"
#include "core/sentence_scan.h"
#include "core/text_automaton.h"

namespace phi2 {
namespace {

constexpr size_t kNowhere = PythonBlockScan::kNowhere;

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
    if (dedent_rule_ >= 0) block_.emplace(rules_[dedent_rule_].dedent, spec.at_line_start);
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
    if (block_) {
      const size_t start = block_->Start();
      if (block_->Push(c, position)) Propose(start, dedent_rule_);
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
    if (block_) first = std::min(first, block_->Start());
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
  std::optional<PythonBlockScan> block_;  // if there is a dedent rule
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
