#include "model/random.hpp"

#include <cmath>
#include <numbers>

namespace qccl::train {
namespace {

// Natural logarithm of x in (0, 1]: x = m 2^e with m in [1/sqrt2, sqrt2), log m = 2 artanh((m - 1) / (m + 1)) by its series; relative error
// below 1e-15.
double portableLog(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < std::numbers::sqrt2 / 2) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double series = 0;
  for (int n = 25; n >= 1; n -= 2) series = series * square + 1.0 / n;
  return exponent * std::numbers::ln2 + 2 * s * series;
}

// cos(2 pi t), t in [0, 1): folded to a quarter of [0, 1/4] and summed as Taylor's series of sine; absolute error below 1e-15.
double portableCosTurn(double t) {
  double u = 0.25 - (t > 0.5 ? 1 - t : t);  // cos(2 pi t) = sin(2 pi u), u in [-1/4, 1/4]
  const double x = u * (2 * std::numbers::pi);
  const double square = x * x;
  double series = 0;
  for (int n = 21; n >= 3; n -= 2) series = (series + 1) * (-square / (n * (n - 1)));
  return x * (1 + series);
}

}  // namespace

std::uint64_t philox(std::uint64_t key, std::uint64_t counterLow, std::uint64_t counterHigh) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  std::uint32_t c0 = low(counterLow), c1 = high(counterLow), c2 = low(counterHigh), c3 = high(counterHigh);
  std::uint32_t k0 = low(key), k1 = high(key);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = kMultiplier0 * c0, p1 = kMultiplier1 * c2;
    c0 = high(p1) ^ c1 ^ k0;
    c1 = low(p1);
    c2 = high(p0) ^ c3 ^ k1;
    c3 = low(p0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return (std::uint64_t{c1} << 32) | c0;
}

double uniform(std::uint64_t key, std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(philox(key, index, stream) >> 11) * 0x1p-53;
}

double normal(std::uint64_t key, std::uint64_t stream, std::uint64_t index) {
  const double radius = std::sqrt(-2 * portableLog(1 - uniform(key, stream, 2 * index)));
  return radius * portableCosTurn(uniform(key, stream, 2 * index + 1));
}

std::uint64_t nameHash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace qccl::train
