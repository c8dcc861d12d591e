// AVX2, FMA and F16C.
#define QCCL_KERNEL_ISA avx2

#include <immintrin.h>

#include "quant/cpu/codec_loops.inc.hpp"

namespace qccl::quant::avx2 {
namespace {

struct Lanes {
  static constexpr std::size_t kCount = 8;
  static constexpr std::size_t kBytes = 32;

  static QCCL_HD __m256 all(float x) { return _mm256_set1_ps(x); }

  static QCCL_HD __m256 load(F32, const unsigned char* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static QCCL_HD __m256 load(Bf16, const unsigned char* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16));
  }
  static QCCL_HD __m256 load(F16, const unsigned char* p) { return _mm256_cvtph_ps(load128(p)); }

  static QCCL_HD void store(F32, unsigned char* p, __m256 x) { _mm256_storeu_ps(reinterpret_cast<float*>(p), x); }
  static QCCL_HD void store(Bf16, unsigned char* p, __m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i isNan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i result = _mm256_blendv_epi8(rounded, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), isNan);
    store128(p, _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1)));
  }
  static QCCL_HD void store(F16, unsigned char* p, __m256 x) { store128(p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }

  static QCCL_HD __m256 fromCodes(const unsigned char* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }

  // Rounds to nearest even (the default mode, which every conversion here relies on).
  static QCCL_HD void storeCodes(unsigned char* p, __m256 x) {
    const __m256i q = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  static QCCL_HD void storeCodes(unsigned char* p, __m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256i ab = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    const __m256i cd = _mm256_packs_epi32(_mm256_cvtps_epi32(c), _mm256_cvtps_epi32(d));
    // Packing works within 128-bit lanes: what comes out is groups of four codes in the order a0 b0 c0 d0 a1 b1 c1 d1.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order));
  }

  static QCCL_HD __m256 multiplyAdd(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
  static QCCL_HD __m256 floor(__m256 x) { return _mm256_floor_ps(x); }
  static QCCL_HD __m256 min(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
  static QCCL_HD __m256 max(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }

  // Magnitudes as integers (ScalarLoops::maxMagnitude): 8 of 32 bits, or 16 of 16 bits whichever the type.
  static QCCL_HD __m256i zeroBits() { return _mm256_setzero_si256(); }
  static QCCL_HD __m256i max(F32, __m256i a, __m256i b) { return _mm256_max_epu32(a, b); }
  template <typename T>
  static QCCL_HD __m256i max(T, __m256i a, __m256i b) {
    return _mm256_max_epu16(a, b);
  }
  static QCCL_HD __m256i maxMagnitude(F32, __m256i most, const unsigned char* p) {
    return _mm256_max_epu32(most, _mm256_and_si256(load256(p), _mm256_set1_epi32(0x7fffffff)));
  }
  template <typename T>
  static QCCL_HD __m256i maxMagnitude(T, __m256i most, const unsigned char* p) {
    return _mm256_max_epu16(most, _mm256_and_si256(load256(p), _mm256_set1_epi16(0x7fff)));
  }
  static QCCL_HD std::uint32_t largest(F32, __m256i x) {
    const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i two = _mm_max_epu32(four, _mm_unpackhi_epi64(four, four));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_srli_epi64(two, 32))));
  }
  template <typename T>
  static QCCL_HD std::uint32_t largest(T, __m256i x) {
    const __m256i even = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    return largest(F32{}, _mm256_max_epu32(even, _mm256_srli_epi32(x, 16)));
  }

  // A plane of one bit: bit kShift of 32 codes, and its inverse, which sets that bit.
  using Bits = std::uint32_t;
  template <int kShift>
  static QCCL_HD Bits gatherBits(const unsigned char* codes) {
    return static_cast<Bits>(_mm256_movemask_epi8(_mm256_slli_epi16(load256(codes), 7 - kShift)));
  }
  template <int kShift>
  static QCCL_HD void spreadBits(Bits bits, unsigned char* codes) {
    // Every byte gets the byte of the plane that has its bit, then only that bit.
    const __m256i byteOf = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bitOf = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    const __m256i plane = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), byteOf);
    const __m256i isSet = _mm256_cmpeq_epi8(_mm256_and_si256(plane, bitOf), bitOf);
    const __m256i set = _mm256_and_si256(isSet, _mm256_set1_epi8(1 << kShift));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_or_si256(load256(codes), set));
  }

  // How many magnitudes are beyond that of `limitBits`; how many values that are not zero have code zero.
  static QCCL_HD std::uint32_t countBeyond(__m256 x, std::uint32_t limitBits) {
    return countOf(_mm256_cmpgt_epi32(magnitude(x), _mm256_set1_epi32(static_cast<int>(limitBits))));
  }
  static QCCL_HD std::uint32_t countFlushed(__m256 x, const unsigned char* codes) {
    const __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
    const __m256i isZeroCode = _mm256_cmpeq_epi32(c, _mm256_setzero_si256());
    return countOf(_mm256_and_si256(isZeroCode, _mm256_cmpgt_epi32(magnitude(x), _mm256_setzero_si256())));
  }

  // x + addend where a < b, else x.
  static QCCL_HD __m256 addWhereLess(__m256 a, __m256 b, __m256 x, __m256 addend) {
    return _mm256_blendv_ps(x, x + addend, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }

  // uniformNoise (noise.hpp) of indices first, first + 1, ...
  static QCCL_HD __m256 uniformNoise(std::uint64_t key, std::uint64_t first) {
    const __m256 low = _mm256_castsi256_ps(noiseBits(key, first));
    const __m256 high = _mm256_castsi256_ps(noiseBits(key, first + 4));
    const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));  // the low halves, as 0 1 4 5 2 3 6 7
    return _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(even, _MM_SHUFFLE(3, 1, 2, 0))) * all(0x1p-24f);
  }

 private:
  static QCCL_HD __m256i magnitude(__m256 x) { return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff)); }
  static QCCL_HD std::uint32_t countOf(__m256i isSet) {
    return static_cast<std::uint32_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(isSet)))));
  }
  static QCCL_HD __m256i load256(const unsigned char* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static QCCL_HD __m128i load128(const unsigned char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static QCCL_HD void store128(unsigned char* p, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }

  static QCCL_HD __m256i all64(std::uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  // The low 64 bits of products, which AVX2 has no instruction for.
  static QCCL_HD __m256i multiply64(__m256i a, std::uint64_t b) {
    const __m256i crossed = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), all64(b)), _mm256_mul_epu32(a, all64(b >> 32)));
    return _mm256_add_epi64(_mm256_mul_epu32(a, all64(b)), _mm256_slli_epi64(crossed, 32));
  }
  static QCCL_HD __m256i noiseBits(std::uint64_t key, std::uint64_t first) {
    const __m256i strides = _mm256_setr_epi64x(0, static_cast<long long>(kNoiseStride), static_cast<long long>(2 * kNoiseStride),
                                               static_cast<long long>(3 * kNoiseStride));
    __m256i x = _mm256_add_epi64(all64(key + first * kNoiseStride), strides);
    x = multiply64(_mm256_xor_si256(x, _mm256_srli_epi64(x, 30)), kMix64First);
    x = multiply64(_mm256_xor_si256(x, _mm256_srli_epi64(x, 27)), kMix64Second);
    return _mm256_srli_epi64(_mm256_xor_si256(x, _mm256_srli_epi64(x, 31)), 40);
  }
};

}  // namespace
}  // namespace qccl::quant::avx2

#include "quant/cpu/codec_vector_loops.inc.hpp"

namespace qccl::quant::avx2 {
using Loops = VectorLoops;
}

#include "quant/cpu/codec_kernels.inc.hpp"
