#include "core/scheduler.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <utility>

namespace phi2 {
namespace {

// Tokens that a sequence can be sure of behind those that it begins with; twice as many each time it was preempted.
constexpr size_t kHeadroom = 32;
constexpr uint32_t kMaxDoublings = 6;

// Who is slow to read keeps its place for so long while others wait for one.
constexpr std::chrono::seconds kPauseWithPlace{1};

// What a request must save to wait until another one has read it: so many tokens, or half of what it has to read.
constexpr size_t kWorthWaiting = 32;

bool CanRun(const Sequence& sequence) { return !sequence.paused() && !sequence.ended; }

/// Lowest priority first, then the youngest.
bool YieldsBefore(const Sequence* a, const Sequence* b) {
  return a->priority() != b->priority() ? a->priority() < b->priority() : a->id() > b->id();
}

size_t CommonPrefix(const std::vector<llama_token>& a, const std::vector<llama_token>& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first -
                             a.begin());
}

}  // namespace

void Scheduler::Submit(std::shared_ptr<Sequence> sequence) {
  if (sequence->id() == sequence->group()) arrivals_.push_back(sequence->id());
  queue_.Push(std::move(sequence));
  changed_ = true;
}

void Scheduler::Abort(uint32_t id) {
  changed_ = true;  // who waited behind it may be next
  if (std::shared_ptr<Sequence> waiting = queue_.Remove(id)) {
    waiting->End(EndReason::kAbort);
    ended_.push_back(std::move(waiting));
  } else if (Sequence* sequence = Find(id)) {
    sequence->End(EndReason::kAbort);
  }
}

void Scheduler::AbortAll() {
  for (auto& sequence : queue_.TakeAll()) ended_.push_back(std::move(sequence));
  for (const auto& sequence : ended_) sequence->End(EndReason::kAbort);
  for (const auto& sequence : active_) sequence->End(EndReason::kAbort);
}

void Scheduler::SetPaused(uint32_t id, bool paused) {
  changed_ = true;
  if (Sequence* sequence = Find(id)) sequence->SetPaused(paused);
}

void Scheduler::Admit(const std::function<void(Sequence&)>& on_placed) {
  changed_ = false;
  size_t n_for_prefix = 0;
  for (size_t i = 0; i < queue_.size();) {
    Sequence& sequence = queue_.at(i);
    if (sequence.paused()) {  // it was preempted, and nobody reads what it has given
      ++i;
      continue;
    }
    if (n_for_prefix > 0 && n_for_prefix >= cache_.n_idle_slots()) break;
    sequence.waits_for_prefix = WaitsForPrefix(sequence);
    if (sequence.waits_for_prefix) {
      ++n_for_prefix;
      ++i;
      continue;
    }
    if (!Place(sequence)) break;
    active_.push_back(queue_.Remove(sequence.id()));  // who was preempted for it may stand before it now
    on_placed(sequence);
  }
  RefuseExcess();
}

bool Scheduler::Place(Sequence& sequence) {
  const RequestSpec& spec = sequence.spec();
  const size_t promised = Promise(sequence);
  const PrefixIndex::Wish wish{sequence.tokens(), promised, sequence.group(), spec.reproducible || spec.records()};
  if (spec.reproducible && active_.empty() && cache_.Reusable(wish) == 0) cache_.EvictIdle();
  auto place = cache_.Claim(wish);
  if (!place) {
    const std::vector<Sequence*> yielding = WhoYieldsTo(sequence);
    std::vector<int32_t> slots;
    for (const Sequence* other : yielding) slots.push_back(other->seq_id);
    if (slots.empty() || !cache_.CouldClaimWithout(slots, wish)) return false;
    for (size_t i = 0; i < yielding.size() && !place; ++i) {
      Preempt(*yielding[i]);
      place = cache_.Claim(wish);
    }
    if (!place) return false;
  }
  sequence.Admit(place->slot, place->reuse, promised, n_ctx_seq_);
  return true;
}

/// Cells that the sequence can be sure of. Who must not be preempted has all that it may ever need: a reproducible one,
/// because reading its tokens again would round otherwise, and one that records what it reads.
size_t Scheduler::Promise(const Sequence& sequence) const {
  const RequestSpec& spec = sequence.spec();
  const auto n_predict = static_cast<size_t>(std::max(spec.n_predict, 1));
  const size_t all = std::min(sequence.n_prompt() + n_predict - 1, n_ctx_seq_);  // the last token is not decoded
  if (spec.reproducible || spec.records()) return all;
  return std::min(all, sequence.tokens().size() + (kHeadroom << std::min(sequence.n_preempted(), kMaxDoublings)));
}

/// Whether some active sequence is about to read much of what this one begins with.
bool Scheduler::WaitsForPrefix(const Sequence& sequence) const {
  const RequestSpec& spec = sequence.spec();
  if (spec.records()) return false;
  const std::vector<llama_token>& tokens = sequence.tokens();
  size_t common = 0;
  for (const auto& other : active_) {
    // Who is not served before this one could keep it waiting.
    if (!CanRun(*other) || !other->reading() || other->priority() < sequence.priority()) continue;
    if (spec.reproducible && other->group() != sequence.group()) continue;
    common = std::max(common, CommonPrefix(other->tokens(), tokens));
  }
  common = std::min(common, tokens.size() - 1);
  if (common == 0) return false;
  const size_t there = cache_.Reusable({tokens, tokens.size(), sequence.group(), spec.reproducible});
  return common > there && (common - there >= kWorthWaiting || 2 * (common - there) >= tokens.size() - there);
}

/// In the order in which they would be preempted: who stands paused for long or while nothing else runs, then who has a
/// lower priority.
std::vector<Sequence*> Scheduler::WhoYieldsTo(const Sequence& sequence) const {
  std::vector<Sequence*> paused;
  std::vector<Sequence*> lower;
  const bool runs = std::any_of(active_.begin(), active_.end(), [](const auto& s) { return CanRun(*s); });
  for (const auto& other : active_) {
    if (other->ended || other->spec().records()) continue;
    if (other->paused()) {
      if (!runs || other->PausedFor() >= kPauseWithPlace) paused.push_back(other.get());
    } else if (other->priority() < sequence.priority() && !other->spec().reproducible) {
      lower.push_back(other.get());
    }
  }
  std::sort(paused.begin(), paused.end(), YieldsBefore);
  std::sort(lower.begin(), lower.end(), YieldsBefore);
  paused.insert(paused.end(), lower.begin(), lower.end());
  return paused;
}

void Scheduler::ClaimCells() {
  std::vector<Sequence*> generating;
  for (const auto& sequence : active_) {
    if (CanRun(*sequence) && !sequence->reading()) generating.push_back(sequence.get());
  }
  std::sort(generating.begin(), generating.end(), [](const auto* a, const auto* b) { return YieldsBefore(b, a); });
  for (Sequence* sequence : generating) {
    while (sequence->has_place() &&
           !cache_.ClaimCells(sequence->seq_id, sequence->tokens().size() + sequence->draft.size())) {
      if (!sequence->draft.empty()) {
        sequence->draft.clear();
      } else {
        Preempt(*Victim());
      }
    }
  }
}

/// Who gives way to a sequence that has no cell for its next token: one that stands paused, else the youngest of the
/// lowest priority that has had what it was promised. There is one, since the sequence in want has had it too.
Sequence* Scheduler::Victim() const {
  Sequence* victim = nullptr;
  for (const auto& sequence : active_) {
    if (sequence->ended || sequence->spec().records()) continue;
    if (!sequence->paused() && sequence->tokens().size() <= sequence->promised()) continue;
    const bool first = victim == nullptr || (sequence->paused() && !victim->paused());
    const bool alike = victim != nullptr && sequence->paused() == victim->paused();
    if (first || (alike && YieldsBefore(sequence.get(), victim))) victim = sequence.get();
  }
  return victim;
}

void Scheduler::Preempt(const Sequence& sequence) {
  const auto found = std::find_if(active_.begin(), active_.end(), [&](const auto& s) { return s.get() == &sequence; });
  std::shared_ptr<Sequence> preempted = std::move(*found);
  active_.erase(found);
  cache_.Release(preempted->seq_id, preempted->tokens(), preempted->n_past);
  preempted->LosePlace();
  queue_.Push(std::move(preempted));
  ++n_preempted_;
}

/// Of those that came since the last time, the last are refused while more wait than may. Who waits for a beginning
/// that is being read does not count: there is a place.
void Scheduler::RefuseExcess() {
  const auto waits = [](const Sequence& sequence) {
    return sequence.is_untouched_request() && !sequence.waits_for_prefix;
  };
  size_t n = 0;
  if (!arrivals_.empty()) {
    for (size_t i = 0; i < queue_.size(); ++i) n += waits(queue_.at(i)) ? 1 : 0;
  }
  for (; n > n_queue_max_ && !arrivals_.empty(); arrivals_.pop_back()) {
    const Sequence* last = queue_.Find(arrivals_.back());
    if (last == nullptr || !waits(*last)) continue;
    --n;
    const Error busy = BusyError(n, n_queue_max_);
    for (size_t i = 0; i < queue_.size();) {
      if (queue_.at(i).group() != arrivals_.back()) {
        ++i;
        continue;
      }
      ended_.push_back(queue_.Take(i));
      ended_.back()->Fail(busy.code(), busy.what());
    }
  }
  arrivals_.clear();
}

Error Scheduler::BusyError(size_t n_waiting, size_t n_queue_max) {
  return {"PHI2_BUSY", std::to_string(n_waiting) + " requests wait for a place already, and maxQueue is " +
                           std::to_string(n_queue_max) +
                           ". Try again when some have ended, or load the model with a larger maxQueue."};
}

Sequence* Scheduler::Find(uint32_t id) const {
  const auto running = std::find_if(active_.begin(), active_.end(), [id](const auto& s) { return s->id() == id; });
  return running != active_.end() ? running->get() : queue_.Find(id);
}

bool Scheduler::has_work() const {
  return changed_ || !ended_.empty() ||
         std::any_of(active_.begin(), active_.end(), [](const auto& s) { return CanRun(*s) || s->ended; });
}

Scheduler::Sequences Scheduler::TakeEnded() {
  const auto middle = std::stable_partition(active_.begin(), active_.end(), [](const auto& s) { return !s->ended; });
  Sequences ended(std::make_move_iterator(middle), std::make_move_iterator(active_.end()));
  active_.erase(middle, active_.end());
  for (const auto& sequence : ended) {
    cache_.Release(sequence->seq_id, sequence->tokens(), sequence->n_past);
    changed_ = true;
  }
  ended.insert(ended.end(), std::make_move_iterator(ended_.begin()), std::make_move_iterator(ended_.end()));
  ended_.clear();
  return ended;
}

size_t Scheduler::n_waiting() const {
  size_t n = 0;
  for (size_t i = 0; i < queue_.size(); ++i) n += queue_.at(i).is_untouched_request() ? 1 : 0;
  return n;
}

}  // namespace phi2
