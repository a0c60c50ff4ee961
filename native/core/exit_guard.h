#pragma once

namespace phi2 {

/// Something with a thread that must not run while the process tears down its static objects.
///
/// process.exit() and an uncaught exception end the main environment without its cleanup hooks: Node calls exit()
/// directly, and a thread that is still inside the engine would use what the exit handlers have just destroyed.
class StopsAtExit {
 public:
  /// Called on the thread that ends the process, before any static object of the engine goes. Must return soon, with the
  /// thread joined and JavaScript left alone.
  virtual void StopForExit() = 0;

 protected:
  StopsAtExit();
  virtual ~StopsAtExit();
  StopsAtExit(const StopsAtExit&) = delete;
  StopsAtExit& operator=(const StopsAtExit&) = delete;

  /// To be called once the object is ready to be stopped, and before it is destroyed.
  void GuardExit();
  void ForgetExit();
};

}  // namespace phi2
