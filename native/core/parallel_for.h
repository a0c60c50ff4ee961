#pragma once

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace phi2 {

/// Calls body(i) for every i below n, on as many threads as asked for or can be had. `body` must not throw.
template <typename Body>
void ParallelFor(uint32_t n, uint32_t n_threads, const Body& body) {
  std::atomic<uint32_t> next{0};
  const auto work = [&] {
    for (uint32_t i = next++; i < n; i = next++) body(i);
  };
  std::vector<std::thread> helpers;
  try {
    for (uint32_t i = 1; i < n_threads && i < n; ++i) helpers.emplace_back(work);
  } catch (const std::system_error&) {  // those that there are do it
  }
  work();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace phi2
