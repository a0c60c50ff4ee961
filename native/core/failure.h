#pragma once

#include <exception>
#include <string>

#include "core/error.h"

namespace phi2 {

/// What went wrong on one thread, on its way to another, which throws an exception of its own. An exception object
/// itself never changes threads: the C++ runtime counts who holds one, out of sight of ThreadSanitizer.
class Failure {
 public:
  explicit Failure(const Error& error) : code_(error.code()), message_(error.what()) {}
  /// Of another exception, which has no code.
  explicit Failure(const char* message) : message_(message == nullptr ? "" : message) {}

  /// Of the exception that is being handled.
  static Failure Current() {
    try {
      throw;
    } catch (const Error& error) {
      return Failure(error);
    } catch (const std::exception& error) {
      return Failure(error.what());
    } catch (...) {
      return Failure("unknown native error");
    }
  }

  /// Null if it was not an Error.
  const char* code() const { return code_; }
  const std::string& message() const { return message_; }

  [[noreturn]] void Throw() const {
    if (code_ != nullptr) throw Error(code_, message_);
    throw std::runtime_error(message_);
  }

 private:
  const char* code_ = nullptr;  // a string literal
  std::string message_;
};

}  // namespace phi2
