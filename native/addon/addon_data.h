#pragma once

#include <napi.h>

#include <set>

namespace phi2 {

/// Something whose thread must not run while the process tears down its static objects.
class StopsAtExit {
 public:
  /// JS thread, as the last thing that this environment does. Joins the thread, unless that is where the end does not
  /// touch it, and leaves JavaScript alone.
  virtual void StopForExit() = 0;

 protected:
  ~StopsAtExit() = default;
};

/// State of one environment: worker threads load the addon again, so there are no globals.
struct AddonData {
  Napi::FunctionReference engine_class;

  /// process.exit() and an uncaught exception end the main environment without its cleanup hooks: Node calls exit()
  /// directly, and a thread still inside the engine would use what the exit handlers have just destroyed. So the
  /// TypeScript side calls stopForExit() in the process's `exit` event.
  std::set<StopsAtExit*> to_stop;
};

}  // namespace phi2
