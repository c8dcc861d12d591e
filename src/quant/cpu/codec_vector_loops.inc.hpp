// The inner loops over vectors, for an instruction set whose source file defines `Lanes` (its operations on vectors of kCount FP32 values)
// before including this. What does not fill a vector goes to ScalarLoops. Each lane does exactly the operations of codes.hpp and
// block_scale.hpp, in the same order. Written out for integer codes; the compiler makes vectors of ScalarLoops for the others.
namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

// Asks for what will be needed `aheadBytes` further on. The processor's own prefetchers begin anew at every page, so that from main memory
// a loop waits at each of them: with this, encode and decode of 64 MiB came from 0.65 to 0.9 of memcpy's rate or better. An address past
// the end does no harm.
QCCL_HD void prefetch(const void* p, std::uintptr_t aheadBytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + aheadBytes));
}

struct VectorLoops : ScalarLoops {
  // Four maxima side by side, so that the loop runs at the rate of the loads and not of a chain of comparisons.
  template <typename T>
  static QCCL_HD std::uint32_t maxMagnitude(const unsigned char* x, std::size_t elems) {
    constexpr std::size_t kElems = Lanes::kBytes / T::kBytes;
    auto a = Lanes::zeroBits();
    auto b = a, c = a, d = a;
    std::size_t i = 0;
    for (; i + 4 * kElems <= elems; i += 4 * kElems) {
      const unsigned char* const at = x + T::kBytes * i;
      for (std::size_t line = 0; line < 4 * Lanes::kBytes; line += 64) prefetch(at + line, 2048);
      a = Lanes::maxMagnitude(T{}, a, at);
      b = Lanes::maxMagnitude(T{}, b, at + Lanes::kBytes);
      c = Lanes::maxMagnitude(T{}, c, at + 2 * Lanes::kBytes);
      d = Lanes::maxMagnitude(T{}, d, at + 3 * Lanes::kBytes);
    }
    for (; i + kElems <= elems; i += kElems) a = Lanes::maxMagnitude(T{}, a, x + T::kBytes * i);
    const auto vectors = Lanes::max(T{}, Lanes::max(T{}, a, b), Lanes::max(T{}, c, d));
    const std::uint32_t rest = ScalarLoops::maxMagnitude<T>(x + T::kBytes * i, elems - i);
    const std::uint32_t most = bitsOf(T::widen(static_cast<typename T::Bits>(Lanes::largest(T{}, vectors))));
    return most > rest ? most : rest;
  }

  template <typename Code, typename T>
  static QCCL_HD void encodeNearest(const unsigned char* __restrict x, std::size_t first, std::size_t elems, const BlockEncoder& encoder,
                                    unsigned char* __restrict codes) {
    std::size_t done = first;
    if constexpr (Code::kIsInteger) {
      const auto inverse = Lanes::all(encoder.inverse);
      const auto pre = Lanes::all(encoder.pre);
      // Multiplying by 1 changes nothing but the time: nearly all blocks are not tiny.
      done = encoder.pre == 1.0f
                 ? encodeWhole(
                       x, first, elems, codes, [&](const unsigned char* at) { return Lanes::load(T{}, at) * inverse; }, T{})
                 : encodeWhole(
                       x, first, elems, codes, [&](const unsigned char* at) { return (Lanes::load(T{}, at) * pre) * inverse; }, T{});
    }
    ScalarLoops::encodeNearest<Code, T>(x, done, elems, encoder, codes);
  }

  template <typename Code, typename T>
  static QCCL_HD void encodeStochastic(const unsigned char* __restrict x, std::size_t first, std::size_t elems, const BlockEncoder& encoder,
                                       std::uint64_t key, std::uint64_t firstIndex, unsigned char* __restrict codes) {
    std::size_t i = first;
    if constexpr (Code::kIsInteger) {
      const auto inverse = Lanes::all(encoder.inverse);
      const auto pre = Lanes::all(encoder.pre);
      const auto one = Lanes::all(1.0f);
      const auto limit = Lanes::all(Code::kMax);
      for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
        const auto y = (Lanes::load(T{}, x + T::kBytes * i) * pre) * inverse;
        const auto below = Lanes::floor(y);
        const auto q = Lanes::addWhereLess(Lanes::uniformNoise(key, firstIndex + i), y - below, below, one);
        Lanes::storeCodes(codes + i, Lanes::max(Lanes::min(q, limit), -limit));
      }
    } else {
      float noise[kNoiseStep];
      for (; i + kNoiseStep <= elems; i += kNoiseStep) {
        fillNoise(key, firstIndex + i, noise);
        for (std::size_t k = 0; k < kNoiseStep; ++k) codes[i + k] = Code::stochastic(encoder.scaled(valueAt<T>(x, i + k)), noise[k]);
      }
    }
    ScalarLoops::encodeStochastic<Code, T>(x, i, elems, encoder, key, firstIndex, codes);
  }

  template <typename Code, typename T>
  static QCCL_HD void decode(const unsigned char* __restrict codes, std::size_t first, std::size_t elems, const BlockDecoder& decoder,
                             unsigned char* __restrict out) {
    std::size_t i = first;
    if constexpr (Code::kIsInteger) {
      const auto multiplier = Lanes::all(decoder.multiplier);
      const auto post = Lanes::all(decoder.post);
      for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
        prefetch(out + T::kBytes * i, 1024);
        Lanes::store(T{}, out + T::kBytes * i, (Lanes::fromCodes(codes + i) * post) * multiplier);
      }
    }
    ScalarLoops::decode<Code, T>(codes, i, elems, decoder, out);
  }

  template <typename Code>
  static QCCL_HD void decodeAdd(const unsigned char* __restrict codes, std::size_t first, std::size_t elems, const BlockDecoder& decoder,
                                float* __restrict sum) {
    std::size_t i = first;
    if constexpr (Code::kIsInteger) {
      const auto multiplier = Lanes::all(decoder.multiplier);
      const auto post = Lanes::all(decoder.post);
      auto* bytes = reinterpret_cast<unsigned char*>(sum);
      for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
        unsigned char* const at = bytes + F32::kBytes * i;
        prefetch(at, 1024);
        Lanes::store(F32{}, at, Lanes::multiplyAdd(Lanes::fromCodes(codes + i) * post, multiplier, Lanes::load(F32{}, at)));
      }
    }
    ScalarLoops::decodeAdd<Code>(codes, i, elems, decoder, sum);
  }

  template <typename Code, typename T>
  static QCCL_HD Losses countLosses(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder, const unsigned char* codes) {
    const auto inverse = Lanes::all(encoder.inverse);
    const auto pre = Lanes::all(encoder.pre);
    std::uint32_t saturated = 0, flushed = 0;
    std::size_t i = 0;
    for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
      const auto value = Lanes::load(T{}, x + T::kBytes * i);
      saturated += Lanes::countBeyond((value * pre) * inverse, kSaturatedBeyond<Code>);
      flushed += Lanes::countFlushed(value, codes + i);
    }
    const Losses rest = ScalarLoops::countLosses<Code, T>(x + T::kBytes * i, elems - i, encoder, codes + i);
    return {saturated + rest.saturated, flushed + rest.flushed};
  }

  template <int kShift>
  static QCCL_HD std::size_t packBits(const unsigned char* codes, std::size_t n, unsigned char* plane) {
    std::size_t i = 0;
    for (; i + Lanes::kBytes <= n; i += Lanes::kBytes) {
      const auto bits = Lanes::template gatherBits<kShift>(codes + i);
      static_assert(8 * sizeof(bits) == Lanes::kBytes);
      __builtin_memcpy(plane + i / 8, &bits, sizeof(bits));
    }
    return i;
  }

  template <int kShift>
  static QCCL_HD std::size_t unpackBits(const unsigned char* plane, std::size_t n, unsigned char* codes) {
    std::size_t i = 0;
    for (; i + Lanes::kBytes <= n; i += Lanes::kBytes) {
      typename Lanes::Bits bits;
      __builtin_memcpy(&bits, plane + i / 8, sizeof(bits));
      Lanes::template spreadBits<kShift>(bits, codes + i);
    }
    return i;
  }

  // noise[i] = uniformNoise(key, firstIndex + i) for kNoiseStep elements.
  static QCCL_HD void fillNoise(std::uint64_t key, std::uint64_t firstIndex, float* noise) {
    static_assert(kNoiseStep % Lanes::kCount == 0);
    for (std::size_t i = 0; i < kNoiseStep; i += Lanes::kCount) {
      Lanes::store(F32{}, reinterpret_cast<unsigned char*>(noise + i), Lanes::uniformNoise(key, firstIndex + i));
    }
  }

 private:
  // Codes of whole vectors from element `first` on, scaled(address) of each; returns the first element not done.
  template <typename T, typename Scaled>
  static QCCL_HD std::size_t encodeWhole(const unsigned char* x, std::size_t first, std::size_t elems, unsigned char* codes, Scaled scaled,
                                         T) {
    constexpr std::size_t kStep = Lanes::kCount;
    constexpr std::size_t kBytes = T::kBytes * kStep;
    std::size_t i = first;
    for (; i + 4 * kStep <= elems; i += 4 * kStep) {
      const unsigned char* const at = x + T::kBytes * i;
      Lanes::storeCodes(codes + i, scaled(at), scaled(at + kBytes), scaled(at + 2 * kBytes), scaled(at + 3 * kBytes));
    }
    for (; i + kStep <= elems; i += kStep) Lanes::storeCodes(codes + i, scaled(x + T::kBytes * i));
    return i;
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
