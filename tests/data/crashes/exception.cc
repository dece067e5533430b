// An exception that nobody catches.
#include <stdexcept>
#include <string>
#include <vector>

#include "canaries.h"

namespace shop {

template <typename T>
class Cart {
 public:
  NEVER_INLINE int Price(const std::string& name, const T&) const {
    if (name.size() > 3) throw std::runtime_error("CANARY-ON-HEAP in an exception");
    return static_cast<int>(name.size()) + factor_;
  }

 private:
  int factor_ = 3;
};

NEVER_INLINE int Sum(const std::vector<std::string>& names) {
  const Cart<std::vector<int>> cart;
  int sum = 0;
  for (const std::string& name : names) {
    sum += [&](const std::string& n) { return cart.Price(n, {1, 2}) + 1; }(name);
  }
  return sum;
}

}  // namespace shop

int main(int argc, char**) {
  PUT_CANARIES;
  return shop::Sum({"ab", argc > 0 ? "CANARY-ON-STACK" : "c"}) + canary_on_stack[argc];
}
