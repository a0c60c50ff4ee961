#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// A test program in one header: TEST(promise) { … CHECK_EQ(actual, expected) … }, and TEST_MAIN() once. A failed check
/// prints both values and ends the program.
namespace phi2::test {

struct Case {
  const char* promise;
  void (*run)();
};

inline std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

struct Registration {
  Registration(const char* promise, void (*run)()) { Cases().push_back({promise, run}); }
};

/// Control bytes and bytes beyond ASCII in hexadecimal, so that a failure can be read and pasted.
inline std::string Shown(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text) {
    char escaped[8];
    if (c == '\n') {
      shown += "\\n";
    } else if (c == '\\' || c == '"') {
      (shown += '\\') += c;
    } else if (c < ' ' || c > '~') {
      std::snprintf(escaped, sizeof(escaped), "\\x%02X", static_cast<unsigned char>(c));
      shown += escaped;
    } else {
      shown += c;
    }
  }
  return shown + '"';
}

template <typename Value>
std::string Shown(const Value& value) {
  if constexpr (std::is_convertible_v<Value, std::string_view>) {
    return Shown(std::string_view(value));
  } else {
    std::ostringstream stream;
    stream << value;
    return stream.str();
  }
}

template <typename Value>
std::string Shown(const std::vector<Value>& values) {
  std::string shown = "[";
  for (const Value& value : values) shown += ' ' + Shown(value);
  return shown + " ]";
}

[[noreturn]] inline void Fail(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "\n%s:%d: %s\n", file, line, message.c_str());
  std::fflush(nullptr);
  std::_Exit(1);  // other threads may still use what the end of main() would destroy
}

inline int Main() {
  for (const Case& test_case : Cases()) {
    std::printf("%s", test_case.promise);
    std::fflush(stdout);
    const auto start = std::chrono::steady_clock::now();
    test_case.run();
    const auto took = std::chrono::steady_clock::now() - start;
    std::printf(" (%d ms)\n", static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  }
  return 0;
}

}  // namespace phi2::test

#define PHI2_TEST_JOIN2(a, b) a##b
#define PHI2_TEST_JOIN(a, b) PHI2_TEST_JOIN2(a, b)
#define PHI2_TEST(run, registration, promise)                       \
  static void run();                                                \
  static const phi2::test::Registration registration(promise, run); \
  static void run()
#define TEST(promise) PHI2_TEST(PHI2_TEST_JOIN(Test, __LINE__), PHI2_TEST_JOIN(registration, __LINE__), promise)
#define TEST_MAIN() \
  int main() { return phi2::test::Main(); }

#define CHECK(condition) ((condition) ? void() : phi2::test::Fail(__FILE__, __LINE__, "expected " #condition))
#define CHECK_EQ(actual, expected) CHECK_EQ_IN(actual, expected, "")
/// With a description of the case, for checks in a loop.
#define CHECK_EQ_IN(actual, expected, context)                                                         \
  do {                                                                                                 \
    const auto& check_actual = (actual);                                                               \
    const auto& check_expected = (expected);                                                           \
    if (!(check_actual == check_expected)) {                                                           \
      phi2::test::Fail(__FILE__, __LINE__,                                                             \
                       std::string(#actual " is ") + phi2::test::Shown(check_actual) + ", expected " + \
                           phi2::test::Shown(check_expected) + "; " + std::string(context));           \
    }                                                                                                  \
  } while (false)
