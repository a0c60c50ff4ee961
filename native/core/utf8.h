#pragma once

#include <string>
#include <string_view>

namespace phi2 {

/// Turns a stream of bytes into valid UTF-8: a character that is split over pushes comes out whole with the push that
/// completes it, and bytes that can belong to no character become U+FFFD (one per maximal invalid run, as WHATWG's decoder
/// does). Single-threaded.
class Utf8Assembler {
 public:
  /// Returns the characters completed by `bytes`; an unfinished character at the end is kept for the next push.
  std::string Push(std::string_view bytes);

  /// End of the stream: an unfinished character becomes U+FFFD.
  std::string Finish();

 private:
  std::string pending_;
};

}  // namespace phi2
