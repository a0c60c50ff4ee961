#include "core/step_watch.h"

#include "check.h"

namespace {

using phi2::StepWatch;

bool ShouldStop(StepWatch& watch) { return StepWatch::ShouldStop(&watch); }

TEST("a step goes on while one of those whom it serves is not aborted") {
  StepWatch watch;
  for (const uint32_t id : {1, 2, 3}) watch.Add(id);
  watch.Watch({1, 2});
  CHECK(!ShouldStop(watch));
  CHECK(watch.Abort(1));
  CHECK(!ShouldStop(watch));
  CHECK(watch.Abort(3));
  CHECK(!ShouldStop(watch));
  CHECK(watch.Abort(2));
  CHECK(ShouldStop(watch));
  CHECK(watch.AllAborted());
}

TEST("who has ended, or never was, cannot be aborted; a step that still serves him can") {
  StepWatch watch;
  CHECK(!watch.Abort(1));
  watch.Add(1);
  watch.Watch({1});
  watch.Remove(1);
  CHECK(!watch.Abort(1));
  CHECK(!ShouldStop(watch));
}

TEST("what is urgent cuts a step only as long as that is worth it") {
  StepWatch watch;
  watch.Add(1);
  watch.Watch({1});
  watch.CutUntil(StepWatch::Clock::time_point::max());
  CHECK(!ShouldStop(watch));
  watch.WantTurn();
  CHECK(ShouldStop(watch));
  CHECK(!watch.AllAborted());
  watch.CutUntil(StepWatch::Clock::now());
  CHECK(!ShouldStop(watch));
  watch.CutUntil(StepWatch::Clock::time_point::max());
  watch.OnTurn();
  CHECK(!ShouldStop(watch));
}

TEST("what serves nobody, like the warming up of a context, stops only when the engine closes") {
  StepWatch watch;
  watch.WantTurn();
  watch.CutUntil(StepWatch::Clock::time_point::max());
  CHECK(!ShouldStop(watch));
  watch.StopNow();
  CHECK(watch.stop_now());
  CHECK(ShouldStop(watch));
}

}  // namespace

TEST_MAIN()
