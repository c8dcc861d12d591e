// The inner loops over vectors, for an instruction set whose source file defines `Lanes` (its operations on vectors of kCount FP32 values)
// before including this. What does not fill a vector goes to ScalarLoops. Each lane does exactly the operations of codec.hpp, in the same
// order.
namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

struct VectorLoops : ScalarLoops {
  template <typename T>
  static QCCL_HD void encodeNearest(const unsigned char* x, std::size_t first, std::size_t elems, const Int8Encoder& encoder,
                                    unsigned char* codes) {
    constexpr std::size_t kGroup = 4 * Lanes::kCount;
    const auto inverse = Lanes::all(encoder.inverse);
    const auto pre = Lanes::all(encoder.pre);
    const auto scaled = [&](std::size_t i) { return (Lanes::load(T{}, x + T::kBytes * i) * pre) * inverse; };
    std::size_t i = first;
    for (; i + kGroup <= elems; i += kGroup) {
      Lanes::storeCodes(codes + i, scaled(i), scaled(i + Lanes::kCount), scaled(i + 2 * Lanes::kCount), scaled(i + 3 * Lanes::kCount));
    }
    for (; i + Lanes::kCount <= elems; i += Lanes::kCount) Lanes::storeCodes(codes + i, scaled(i));
    ScalarLoops::encodeNearest<T>(x, i, elems, encoder, codes);
  }

  template <typename T>
  static QCCL_HD void encodeStochastic(const unsigned char* x, std::size_t first, std::size_t elems, const Int8Encoder& encoder,
                                       std::uint64_t key, std::uint64_t firstIndex, unsigned char* codes) {
    const auto inverse = Lanes::all(encoder.inverse);
    const auto pre = Lanes::all(encoder.pre);
    const auto one = Lanes::all(1.0f);
    const auto limit = Lanes::all(kInt8Max);
    std::size_t i = first;
    for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
      const auto y = (Lanes::load(T{}, x + T::kBytes * i) * pre) * inverse;
      const auto below = Lanes::floor(y);
      const auto q = Lanes::addWhereLess(Lanes::uniformNoise(key, firstIndex + i), y - below, below, one);
      Lanes::storeCodes(codes + i, Lanes::max(Lanes::min(q, limit), -limit));
    }
    ScalarLoops::encodeStochastic<T>(x, i, elems, encoder, key, firstIndex, codes);
  }

  template <typename T>
  static QCCL_HD void decode(const std::int8_t* __restrict codes, std::size_t first, std::size_t elems, const Int8Decoder& decoder,
                             unsigned char* __restrict out) {
    const auto multiplier = Lanes::all(decoder.multiplier);
    const auto post = Lanes::all(decoder.post);
    std::size_t i = first;
    for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
      Lanes::store(T{}, out + T::kBytes * i, (Lanes::fromCodes(codes + i) * post) * multiplier);
    }
    ScalarLoops::decode<T>(codes, i, elems, decoder, out);
  }

  static QCCL_HD void decodeAdd(const std::int8_t* __restrict codes, std::size_t first, std::size_t elems, const Int8Decoder& decoder,
                                float* __restrict sum) {
    const auto multiplier = Lanes::all(decoder.multiplier);
    const auto post = Lanes::all(decoder.post);
    auto* bytes = reinterpret_cast<unsigned char*>(sum);
    std::size_t i = first;
    for (; i + Lanes::kCount <= elems; i += Lanes::kCount) {
      unsigned char* const at = bytes + F32::kBytes * i;
      Lanes::store(F32{}, at, Lanes::multiplyAdd(Lanes::fromCodes(codes + i) * post, multiplier, Lanes::load(F32{}, at)));
    }
    ScalarLoops::decodeAdd(codes, i, elems, decoder, sum);
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
