#include "core/cancellation.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"

namespace {

using phi2::Cancellation;

/// Does one leavable thing and then stops, or goes on.
class Worker {
 public:
  explicit Worker(Cancellation& work)
      : thread_([this, &work] {
          work.EndLeavable();
          went_on_ = true;
        }) {}
  ~Worker() { thread_.join(); }
  bool went_on() const { return went_on_; }

 private:
  std::atomic<bool> went_on_{false};
  std::thread thread_;
};

TEST("work is left only while it is at something leavable") {
  Cancellation work;
  CHECK(!work.Leave());
  work.BeginLeavable();
  work.EndLeavable();
  CHECK(!work.Leave());
  work.EndLeavable();  // does not wait
  CHECK(!work.cancelled());
}

TEST("work that was left stops behind it, cancelled before or not, and a later cancellation sets it going") {
  for (const bool cancelled_before : {false, true}) {
    Cancellation work;
    work.BeginLeavable();
    if (cancelled_before) work.Cancel();
    CHECK(work.Leave());
    Worker worker(work);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(!worker.went_on());
    work.Cancel();
    CHECK(work.cancelled());
  }  // joined: it went on
}

}  // namespace

TEST_MAIN()
