#include "core/utf8.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "check.h"

namespace {

using phi2::Utf8Assembler;

const std::string kFffd = "\xEF\xBF\xBD";

std::string Whole(std::string_view bytes) {
  Utf8Assembler assembler;
  std::string text = assembler.Push(bytes);
  return text + assembler.Finish();
}

std::string ByteByByte(std::string_view bytes) {
  Utf8Assembler assembler;
  std::string text;
  for (const char c : bytes) text += assembler.Push(std::string_view(&c, 1));
  return text + assembler.Finish();
}

/// The bytes in order, and U+FFFD for what the Unicode standard calls a maximal subpart of an ill-formed sequence,
/// found by trying every well-formed character: slow and plain.
std::string Reference(const std::string& bytes) {
  static const std::vector<std::string> characters = [] {
    std::vector<std::string> all;
    for (uint32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string s;
      if (c < 0x80) {
        s = {static_cast<char>(c)};
      } else if (c < 0x800) {
        s = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
      } else if (c < 0x10000) {
        s = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
             static_cast<char>(0x80 | (c & 0x3F))};
      } else {
        s = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
             static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
      }
      all.push_back(s);  // in ascending order of their bytes too
    }
    return all;
  }();
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    size_t n_begun = 0;
    bool whole = false;
    for (size_t length = 1; length <= 4 && at + length <= bytes.size(); ++length) {
      const std::string part = bytes.substr(at, length);
      const auto found = std::lower_bound(characters.begin(), characters.end(), part);
      if (found == characters.end() || found->compare(0, length, part) != 0) break;
      n_begun = length;
      whole = *found == part;
      if (whole) break;
    }
    text += whole ? bytes.substr(at, n_begun) : kFffd;
    at += std::max<size_t>(n_begun, 1);
  }
  return text;
}

TEST("valid text comes out as it went in, however it is cut") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBB\xBFz";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Assembler assembler;
    std::string result = assembler.Push(text.substr(0, cut));
    result += assembler.Push(text.substr(cut));
    CHECK_EQ(result, text);
    CHECK_EQ(assembler.Finish(), "");
  }
}

TEST("a character comes out whole with the push that completes it") {
  Utf8Assembler assembler;
  CHECK_EQ(assembler.Push("a\xF0\x9F"), "a");
  CHECK_EQ(assembler.Push("\x98"), "");
  CHECK_EQ(assembler.Push("\x80"
                          "b"),
           "\xF0\x9F\x98\x80"
           "b");
  CHECK_EQ(assembler.Finish(), "");
}

TEST("a maximal part of a character becomes one U+FFFD") {
  CHECK_EQ(Whole("\xF0\x9F\x98"), kFffd);                              // unfinished
  CHECK_EQ(Whole("\xF0\x9F\x98z"), kFffd + "z");                       // broken off
  CHECK_EQ(Whole("\x80\xBF"), kFffd + kFffd);                          // no lead
  CHECK_EQ(Whole("\xC0\xAF"), kFffd + kFffd);                          // overlong
  CHECK_EQ(Whole("\xE0\x80\xAF"), kFffd + kFffd + kFffd);              // overlong
  CHECK_EQ(Whole("\xED\xA0\x80"), kFffd + kFffd + kFffd);              // surrogate
  CHECK_EQ(Whole("\xF4\x90\x80\x80"), kFffd + kFffd + kFffd + kFffd);  // beyond U+10FFFF
  CHECK_EQ(Whole("\xE2\x82\xE2\x82\xAC"), kFffd + "\xE2\x82\xAC");     // the breaker begins a character
}

TEST("any bytes, cut at any places, decode as the standard says") {
  std::mt19937 random(1);
  const std::string alphabet = "a\x7F\x80\x8F\x90\x9F\xA0\xBF\xC1\xC2\xDF\xE0\xE1\xED\xEF\xF0\xF1\xF4\xF5\xFF";
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    for (size_t n = random() % 12; n > 0; --n) bytes += alphabet[random() % alphabet.size()];
    const std::string expected = Reference(bytes);
    const std::string context = phi2::test::Shown(bytes);
    CHECK_EQ_IN(Whole(bytes), expected, context);
    CHECK_EQ_IN(ByteByByte(bytes), expected, context);
    Utf8Assembler assembler;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = random() % 4;
      text += assembler.Push(std::string_view(bytes).substr(at, n));
      at += n;
    }
    CHECK_EQ_IN(text + assembler.Finish(), expected, context);
  }
}

}  // namespace

TEST_MAIN()
