#include "app/progress.hpp"

#include <cmath>
#include <cstdio>

namespace qccl::train {

namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char buffer[256];
  std::snprintf(buffer, sizeof(buffer), pattern, args...);
  return buffer;
}

}  // namespace

std::string formatCount(double value) {
  if (value < 1000) return format("%.0f", value);
  if (value < 100e3) return format("%.1fk", value / 1e3);
  if (value < 1e6) return format("%.0fk", value / 1e3);
  if (value < 1e9) return format("%.2fM", value / 1e6);
  return format("%.2fG", value / 1e9);
}

std::string formatSeconds(double seconds) {
  const long long whole = std::llround(seconds);
  if (whole < 60) return format("%llds", whole);
  if (whole < 3600) return format("%lldm%02llds", whole / 60, whole % 60);
  return format("%lldh%02lldm", whole / 3600, whole % 3600 / 60);
}

std::string progressLine(const StepFigures& f, bool communicates) {
  const std::string total = std::to_string(f.total);
  std::string line = format("step %*lld/%s | loss %.4f | norm %.3f | lr %.2e | %.0f ms | %s tok/s", static_cast<int>(total.size()),
                            static_cast<long long>(f.step), total.c_str(), f.loss, f.gradNorm, f.learningRate, f.seconds * 1e3,
                            formatCount(f.tokensPerSecond).c_str());
  if (communicates) line += format(" | wire %.3f MB | wait %.1f %%", f.wireBytes / 1e6, f.waitShare * 100);
  return line + " | eta " + formatSeconds(f.etaSeconds);
}

}  // namespace qccl::train
