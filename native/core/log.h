#pragma once

#include <string>
#include <vector>

namespace phi2 {

/// The engine logs through one process-wide callback. The library prints nothing of it, unless PHI2_LOG is set to
/// `error`, `warn`, `info` or `debug` (then those lines go to stderr). Idempotent, any thread.
void InstallLog();

/// Collects the warnings and errors that the engine logs on this thread while it lives: the only way to learn why a
/// load failed. Nests.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  void Add(bool error, const char* text);

  /// The error lines, joined; the warnings if there were none.
  std::string Summary() const;

 private:
  LogCapture* outer_;
  std::string errors_;
  std::string warnings_;
};

}  // namespace phi2
