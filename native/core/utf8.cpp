#include "core/utf8.h"

#include <cstddef>
#include <cstdint>

namespace phi2 {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

/// What may follow a lead byte (Unicode 15, table 3-7). Narrowing the second byte shuts out overlong forms, surrogates
/// and everything above U+10FFFF, so a sequence is known to be wrong at the first byte that makes it so.
struct Lead {
  int n_following;  ///< -1: no character begins with this byte
  uint8_t second_min;
  uint8_t second_max;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte < 0xC2) return {-1, 0, 0};
  if (byte < 0xE0) return {1, 0x80, 0xBF};
  if (byte < 0xF0)
    return {2, static_cast<uint8_t>(byte == 0xE0 ? 0xA0 : 0x80), static_cast<uint8_t>(byte == 0xED ? 0x9F : 0xBF)};
  if (byte < 0xF5)
    return {3, static_cast<uint8_t>(byte == 0xF0 ? 0x90 : 0x80), static_cast<uint8_t>(byte == 0xF4 ? 0x8F : 0xBF)};
  return {-1, 0, 0};
}

}  // namespace

std::string Utf8Assembler::Push(std::string_view bytes) {
  std::string joined;
  std::string_view input = bytes;
  if (!pending_.empty()) {
    joined = pending_;
    joined += bytes;
    input = joined;
    pending_.clear();
  }

  std::string output;
  output.reserve(input.size());
  size_t at = 0;
  while (at < input.size()) {
    const Lead lead = LeadOf(static_cast<uint8_t>(input[at]));
    if (lead.n_following < 0) {
      output += kReplacement;
      ++at;
      continue;
    }
    const size_t length = static_cast<size_t>(lead.n_following) + 1;
    size_t n_valid = 1;
    while (n_valid < length && at + n_valid < input.size()) {
      const auto byte = static_cast<uint8_t>(input[at + n_valid]);
      const uint8_t min = n_valid == 1 ? lead.second_min : 0x80;
      const uint8_t max = n_valid == 1 ? lead.second_max : 0xBF;
      if (byte < min || byte > max) break;
      ++n_valid;
    }
    if (n_valid == length) {
      output += input.substr(at, length);
    } else if (at + n_valid == input.size()) {
      pending_ = input.substr(at);
      break;
    } else {
      // The byte that broke the sequence is looked at again: it may begin a character of its own.
      output += kReplacement;
    }
    at += n_valid;
  }
  return output;
}

std::string Utf8Assembler::Finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return kReplacement;
}

}  // namespace phi2
