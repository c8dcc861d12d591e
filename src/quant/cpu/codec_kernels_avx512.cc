// AVX-512 F, BW, VL and DQ.
#define QCCL_KERNEL_ISA avx512

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own intrinsics begin from a register that is uninitialized on purpose, and it warns of them.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "quant/cpu/codec_loops.inc.hpp"

namespace qccl::quant::avx512 {
namespace {

struct Lanes {
  static constexpr std::size_t kCount = 16;
  static constexpr std::size_t kBytes = 64;

  static QCCL_HD __m512 all(float x) { return _mm512_set1_ps(x); }

  static QCCL_HD __m512 load(F32, const unsigned char* p) { return _mm512_loadu_ps(p); }
  static QCCL_HD __m512 load(Bf16, const unsigned char* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load256(p)), 16));
  }
  static QCCL_HD __m512 load(F16, const unsigned char* p) { return _mm512_cvtph_ps(load256(p)); }

  static QCCL_HD void store(F32, unsigned char* p, __m512 x) { _mm512_storeu_ps(p, x); }
  // Not the instruction of AVX512_BF16: that one flushes denormals.
  static QCCL_HD void store(Bf16, unsigned char* p, __m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __mmask16 isNan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    store256(p, _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, isNan, upper, _mm512_set1_epi32(0x40))));
  }
  static QCCL_HD void store(F16, unsigned char* p, __m512 x) { store256(p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }

  static QCCL_HD __m512 fromCodes(const unsigned char* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  // Rounds to nearest even (the default mode, which every conversion here relies on).
  static QCCL_HD void storeCodes(unsigned char* p, __m512 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  static QCCL_HD void storeCodes(unsigned char* p, __m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512i ab = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const __m512i cd = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
    // Packing works within 128-bit lanes: what comes out is groups of four codes in the order a0 b0 c0 d0 a1 b1 ...
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(ab, cd)));
  }

  static QCCL_HD __m512 multiplyAdd(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
  static QCCL_HD __m512 floor(__m512 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static QCCL_HD __m512 min(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
  static QCCL_HD __m512 max(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }

  // Magnitudes as integers (ScalarLoops::maxMagnitude): 16 of 32 bits, or 32 of 16 bits whichever the type.
  static QCCL_HD __m512i zeroBits() { return _mm512_setzero_si512(); }
  static QCCL_HD __m512i max(F32, __m512i a, __m512i b) { return _mm512_max_epu32(a, b); }
  template <typename T>
  static QCCL_HD __m512i max(T, __m512i a, __m512i b) {
    return _mm512_max_epu16(a, b);
  }
  static QCCL_HD __m512i maxMagnitude(F32, __m512i most, const unsigned char* p) {
    return _mm512_max_epu32(most, _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(0x7fffffff)));
  }
  template <typename T>
  static QCCL_HD __m512i maxMagnitude(T, __m512i most, const unsigned char* p) {
    return _mm512_max_epu16(most, _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi16(0x7fff)));
  }
  static QCCL_HD std::uint32_t largest(F32, __m512i x) { return _mm512_reduce_max_epu32(x); }
  template <typename T>
  static QCCL_HD std::uint32_t largest(T, __m512i x) {
    const __m512i even = _mm512_and_si512(x, _mm512_set1_epi32(0xffff));
    return _mm512_reduce_max_epu32(_mm512_max_epu32(even, _mm512_srli_epi32(x, 16)));
  }

  // A plane of one bit: bit kShift of 64 codes, and its inverse, which sets that bit.
  using Bits = std::uint64_t;
  template <int kShift>
  static QCCL_HD Bits gatherBits(const unsigned char* codes) {
    return _mm512_test_epi8_mask(_mm512_loadu_si512(codes), _mm512_set1_epi8(1 << kShift));
  }
  template <int kShift>
  static QCCL_HD void spreadBits(Bits bits, unsigned char* codes) {
    const __m512i set = _mm512_maskz_mov_epi8(bits, _mm512_set1_epi8(1 << kShift));
    _mm512_storeu_si512(codes, _mm512_or_si512(_mm512_loadu_si512(codes), set));
  }

  // How many magnitudes are beyond that of `limitBits`; how many values that are not zero have code zero.
  static QCCL_HD std::uint32_t countBeyond(__m512 x, std::uint32_t limitBits) {
    const __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    return countOf(_mm512_cmpgt_epu32_mask(magnitude, _mm512_set1_epi32(static_cast<int>(limitBits))));
  }
  static QCCL_HD std::uint32_t countFlushed(__m512 x, const unsigned char* codes) {
    const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    return countOf(_mm512_mask_test_epi32_mask(_mm_testn_epi8_mask(c, c), _mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
  }

  // x + addend where a < b, else x.
  static QCCL_HD __m512 addWhereLess(__m512 a, __m512 b, __m512 x, __m512 addend) {
    return _mm512_mask_add_ps(x, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x, addend);
  }

  // uniformNoise (noise.hpp) of indices first, first + 1, ...
  static QCCL_HD __m512 uniformNoise(std::uint64_t key, std::uint64_t first) {
    const __m512i low = noiseBits(key, first);
    const __m512i high = noiseBits(key, first + 8);
    const __m512i bits = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(low)), _mm512_cvtepi64_epi32(high), 1);
    return _mm512_cvtepi32_ps(bits) * all(0x1p-24f);
  }

 private:
  static QCCL_HD std::uint32_t countOf(__mmask16 mask) { return static_cast<std::uint32_t>(__builtin_popcount(mask)); }
  static QCCL_HD __m256i load256(const unsigned char* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static QCCL_HD void store256(unsigned char* p, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }

  static QCCL_HD __m512i all64(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static QCCL_HD __m512i noiseBits(std::uint64_t key, std::uint64_t first) {
    const __m512i strides = _mm512_mullo_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), all64(kNoiseStride));  // a constant
    __m512i x = _mm512_add_epi64(all64(key + first * kNoiseStride), strides);
    x = _mm512_mullo_epi64(_mm512_xor_si512(x, _mm512_srli_epi64(x, 30)), all64(kMix64First));
    x = _mm512_mullo_epi64(_mm512_xor_si512(x, _mm512_srli_epi64(x, 27)), all64(kMix64Second));
    return _mm512_srli_epi64(_mm512_xor_si512(x, _mm512_srli_epi64(x, 31)), 40);
  }
};

}  // namespace
}  // namespace qccl::quant::avx512

#include "quant/cpu/codec_vector_loops.inc.hpp"

namespace qccl::quant::avx512 {
using Loops = VectorLoops;
}

#include "quant/cpu/codec_kernels.inc.hpp"
