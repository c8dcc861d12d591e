// What a call that fails says.
#pragma once

#include <exception>
#include <string>

namespace qccl::test {

// The sentence of the exception that `call` throws; "" if it throws none.
template <typename Call>
std::string sentenceOf(Call&& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace qccl::test
