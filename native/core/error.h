#pragma once

#include <stdexcept>
#include <string>

namespace phi2 {

/// An error with the stable code that JavaScript sees. The message says what was expected, found and to do.
class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;  // a string literal
};

inline Error ClosedError() { return {"PHI2_CLOSED", "This model was closed; load it again to use it."}; }

}  // namespace phi2
