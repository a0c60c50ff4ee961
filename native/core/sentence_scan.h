#pragma once

#include <cstdint>

namespace phi2 {

/// Tells when a sentence or a paragraph is complete: see StopRule::after_sentence for the definition.
class SentenceScan {
 public:
  /// Returns whether the text up to and including `byte` holds a sentence or a paragraph.
  bool Push(uint8_t byte);

 private:
  void Take(uint32_t character);

  uint32_t character_ = 0;
  int n_missing_ = 0;
  bool after_terminator_ = false;
  bool has_text_ = false;
  bool line_is_blank_ = true;
  bool complete_ = false;
};

}  // namespace phi2
