#pragma once

#include <string>
#include <string_view>

namespace phi2 {

/// Turns a stream of bytes into valid UTF-8: a character that is split over pushes comes out whole with the push that
/// completes it, and bytes that can belong to no character become U+FFFD, one for each maximal part of a character that
/// they could have begun (the practice of Unicode 15 §3.9 and of WHATWG's decoder). The result does not depend on how
/// the stream is cut into pushes; a byte order mark is a character like any other. Single-threaded.
class Utf8Assembler {
 public:
  /// Returns the characters completed by `bytes`; an unfinished character at the end is kept for the next push.
  std::string Push(std::string_view bytes);

  /// End of the stream: an unfinished character becomes U+FFFD.
  std::string Finish();

 private:
  std::string pending_;  // at most three bytes, a valid beginning of a character
};

}  // namespace phi2
