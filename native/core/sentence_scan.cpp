#include "core/sentence_scan.h"

namespace phi2 {

bool SentenceScan::Push(uint8_t byte) {
  if (complete_) return true;
  if (byte < 0x80) {
    n_missing_ = 0;
    Take(byte);
  } else if (byte >= 0xC0) {
    n_missing_ = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    character_ = byte & (0x3F >> n_missing_);
  } else if (n_missing_ > 0) {
    character_ = character_ << 6 | (byte & 0x3F);
    if (--n_missing_ == 0) Take(character_);
  }
  return complete_;
}

void SentenceScan::Take(uint32_t character) {
  switch (character) {
    case '\n':
      complete_ = after_terminator_ || (has_text_ && line_is_blank_);
      line_is_blank_ = true;
      return;
    case ' ':
    case '\t':
    case '\r':
      complete_ = after_terminator_;
      return;
    case '.':
    case '!':
    case '?':
    case 0x2026:  // …
      after_terminator_ = true;
      break;
    case 0x3002:  // 。 and the full-width ！ ？: no space follows them
    case 0xFF01:
    case 0xFF1F:
      complete_ = true;
      break;
    case ')':
    case ']':
    case '}':
    case '"':
    case '\'':
    case '`':
    case '*':
    case '_':
    case 0xBB:    // »
    case 0x2019:  // ’
    case 0x201D:  // ”
      break;
    default:
      after_terminator_ = false;
  }
  has_text_ = true;
  line_is_blank_ = false;
}

}  // namespace phi2
