#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/kv_cache.h"
#include "core/request_queue.h"
#include "core/sequence.h"

namespace phi2 {

/// Which sequences run and which wait. Engine thread only.
///
/// A sequence gets a place when its tokens and a few more fit into the cache, not all that it may ever generate: most
/// answers end early. When cells run out all the same, idle sequences lose theirs first; then the youngest sequence of
/// the lowest priority is preempted: it goes back into the queue, and when there is room again it reads what it had and
/// goes on where it was. Each time it is promised twice as many further tokens as the time before and is left alone
/// until it has had them, so everybody comes to an end after a few times.
///
/// Requests come in the order of RequestQueue, and none is overtaken for want of cells. Only one whose beginning
/// another sequence is just reading lets others pass: what both share is read once.
class Scheduler {
 public:
  using Sequences = std::vector<std::shared_ptr<Sequence>>;

  /// `n_ctx_seq`: cells of one sequence at most. `n_queue_max`: requests that may wait for a place.
  Scheduler(KvCache& cache, size_t n_ctx_seq, size_t n_queue_max)
      : cache_(cache), n_ctx_seq_(n_ctx_seq), n_queue_max_(n_queue_max) {}

  void Submit(std::shared_ptr<Sequence> sequence);
  void Abort(uint32_t id);
  void AbortAll();
  void SetPaused(uint32_t id, bool paused);

  /// Gives places to those whose turn it is, telling each before the next is looked at, and refuses what came last and
  /// is more than may wait.
  void Admit(const std::function<void(Sequence&)>& on_placed);

  /// Sees to it that every generating sequence has a cell for its next token, and for what is drafted behind it as far
  /// as there are some; preempts who must give way.
  void ClaimCells();

  /// Those that have a place. May be reordered.
  Sequences& active() { return active_; }

  /// Whether there is something to do: a step, an ending to report, or a change that may let somebody in.
  bool has_work() const;

  static Error BusyError(size_t n_waiting, size_t n_queue_max);

  /// Takes out what has ended, having given up its place; its tokens stay cached.
  Sequences TakeEnded();

  size_t n_queued() const { return queue_.size(); }
  /// Requests that have no place yet; all choices of one count once.
  size_t n_waiting() const;
  uint64_t n_preempted() const { return n_preempted_; }

 private:
  bool Place(Sequence& sequence);
  bool WaitsForPrefix(const Sequence& sequence) const;
  size_t Promise(const Sequence& sequence) const;
  std::vector<Sequence*> WhoYieldsTo(const Sequence& sequence) const;
  Sequence* Victim() const;
  void Preempt(const Sequence& sequence);
  void RefuseExcess();
  Sequence* Find(uint32_t id) const;

  KvCache& cache_;
  size_t n_ctx_seq_;
  size_t n_queue_max_;
  RequestQueue queue_;
  Sequences active_;
  Sequences ended_;                 // without a place
  std::vector<uint32_t> arrivals_;  // requests since the last Admit()
  bool changed_ = false;
  uint64_t n_preempted_ = 0;
};

}  // namespace phi2
