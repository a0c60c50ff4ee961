#pragma once

#include <functional>
#include <string>

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

/// Hears every piece of a line that the engine logs on this thread while it lives, whatever its level. Nests: the inner
/// one alone hears. It may throw where the engine can take it (see quantize.cpp).
class LogListener {
 public:
  using Handler = std::function<void(const std::string& text)>;

  explicit LogListener(Handler handler);
  ~LogListener();
  LogListener(const LogListener&) = delete;
  LogListener& operator=(const LogListener&) = delete;

  void Hear(const char* text) const { handler_(text); }

 private:
  Handler handler_;
  LogListener* outer_;
};

}  // namespace phi2
