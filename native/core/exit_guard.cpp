#include "core/exit_guard.h"

#include <cstdlib>
#include <mutex>
#include <set>

namespace phi2 {
namespace {

struct Registry {
  std::mutex mutex;
  std::set<StopsAtExit*> members;
};

// Never destroyed: objects may unregister later than any static destructor.
Registry& TheRegistry() {
  static auto* registry = new Registry();
  return *registry;
}

void StopAll() {
  std::lock_guard<std::mutex> lock(TheRegistry().mutex);
  for (StopsAtExit* member : TheRegistry().members) member->StopForExit();
  TheRegistry().members.clear();
}

}  // namespace

StopsAtExit::StopsAtExit() = default;
StopsAtExit::~StopsAtExit() = default;

void StopsAtExit::GuardExit() {
  // Handlers run last in, first out: registered after the engine's libraries were loaded, this one comes before their
  // destructors.
  static std::once_flag once;
  std::call_once(once, [] { std::atexit(StopAll); });
  std::lock_guard<std::mutex> lock(TheRegistry().mutex);
  TheRegistry().members.insert(this);
}

void StopsAtExit::ForgetExit() {
  std::lock_guard<std::mutex> lock(TheRegistry().mutex);
  TheRegistry().members.erase(this);
}

}  // namespace phi2
