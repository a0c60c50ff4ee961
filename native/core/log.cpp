#include "core/log.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "llama.h"

namespace phi2 {
namespace {

thread_local LogCapture* current_capture = nullptr;
thread_local LogListener* current_listener = nullptr;
// A line can arrive in pieces (GGML_LOG_LEVEL_CONT); the pieces belong to the level of the first.
thread_local ggml_log_level last_level = GGML_LOG_LEVEL_NONE;

int PrintThreshold() {
  const char* wanted = std::getenv("PHI2_LOG");
  if (wanted == nullptr) return GGML_LOG_LEVEL_CONT + 1;
  if (std::strcmp(wanted, "debug") == 0) return GGML_LOG_LEVEL_DEBUG;
  if (std::strcmp(wanted, "info") == 0) return GGML_LOG_LEVEL_INFO;
  if (std::strcmp(wanted, "warn") == 0) return GGML_LOG_LEVEL_WARN;
  if (std::strcmp(wanted, "error") == 0) return GGML_LOG_LEVEL_ERROR;
  return GGML_LOG_LEVEL_CONT + 1;
}

void OnLog(ggml_log_level level, const char* text, void*) {
  static const int threshold = PrintThreshold();
  if (level != GGML_LOG_LEVEL_CONT) last_level = level;
  if (last_level >= threshold) std::fputs(text, stderr);
  if (current_capture != nullptr && (last_level == GGML_LOG_LEVEL_ERROR || last_level == GGML_LOG_LEVEL_WARN)) {
    current_capture->Add(last_level == GGML_LOG_LEVEL_ERROR, text);
  }
  if (current_listener != nullptr) current_listener->Hear(text);
}

std::string OneLine(const std::string& text) {
  std::string line;
  for (char c : text) {
    if (c != '\n') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

void InstallLog() {
  static std::once_flag once;
  std::call_once(once, [] { llama_log_set(OnLog, nullptr); });
}

LogCapture::LogCapture() : outer_(current_capture) { current_capture = this; }

LogCapture::~LogCapture() { current_capture = outer_; }

void LogCapture::Add(bool error, const char* text) {
  std::string& target = error ? errors_ : warnings_;
  if (target.size() < 4096) target += text;
}

std::string LogCapture::Summary() const { return OneLine(errors_.empty() ? warnings_ : errors_); }

LogListener::LogListener(Handler handler) : handler_(std::move(handler)), outer_(current_listener) {
  current_listener = this;
}

LogListener::~LogListener() { current_listener = outer_; }

}  // namespace phi2
