// Twelve bugs in C++. The first argument names the bug.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

void* volatile nothing;
volatile int zero;

}  // namespace

namespace shop {

struct Item {
  std::string name;
  volatile int price = 0;
};

// An exception that nobody catches
int FindPrice(const std::map<std::string, int>& prices, const std::string& name) {
  return prices.at(name) + zero;
}
int UncaughtException(int n) {
  const std::map<std::string, int> prices = {{"apple", n}};
  return FindPrice(prices, "pear") + 1;
}

int Parse(const std::string& text) {
  if (text.size() > 2) throw std::invalid_argument(text);
  return static_cast<int>(text.size());
}
int ReadConfig(int n) noexcept { return Parse("three" + std::to_string(n)) * 2; }
int ThrowFromNoexcept(int n) { return ReadConfig(n) + 4; }

class Shape {
 public:
  Shape() {
    Register();
    area_ += 1;
  }
  virtual ~Shape() = default;
  void Register() { area_ = Area() * 2; }
  virtual int Area() const = 0;

 protected:
  int area_ = 0;
};
class Square : public Shape {
 public:
  int Area() const override { return 4 + area_; }
};
int PureVirtualCall(int n) {
  const auto square = std::make_unique<Square>();
  return square->Area() + n;
}

class Account {
 public:
  int Balance() const { return balance_ + fee_; }

 private:
  char padding_[64] = {};
  volatile int balance_ = 1;
  volatile int fee_ = 0;
};
int Statement(const Account* account) { return account->Balance() * 3; }
int MethodOfNothing(int n) { return Statement(static_cast<Account*>(nothing)) + n; }

int Run(const std::function<int(int)>& task, int n) { return task(n) + 1; }
int EmptyFunction(int n) {
  const std::function<int(int)> task;
  return Run(task, n) * 2;
}

int LambdaWithDanglingPointer(int n) {
  const int* price = static_cast<int*>(nothing);
  const std::function<int(int)> task = [price](int more) { return *price + more; };
  return Run(task, n) * 4;
}

template <typename T>
class Ring {
 public:
  const T& Get(size_t index) const { return *slots_[index % 4]; }

 private:
  T* slots_[4] = {};
};
template <typename T>
T Sum(const Ring<T>& ring) {
  T sum = {};
  for (size_t i = 0; i < 4 + static_cast<size_t>(zero); ++i) sum += ring.Get(i);
  return sum;
}
int EmptySlotInTemplate(int n) {
  const Ring<long> ring;
  return static_cast<int>(Sum(ring)) + n;
}

struct ByPrice {
  bool operator()(const std::unique_ptr<Item>& a, const std::unique_ptr<Item>& b) const {
    return a->price < b->price;
  }
};
int SortItems(int n) {
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 5; ++i) items.push_back(std::make_unique<Item>());
  items[2].reset();
  std::sort(items.begin(), items.end(), ByPrice());
  return items[0]->price + n;
}
int NullInSort(int n) { return SortItems(n) - 3; }

int Work(const Item* item) { return item->price * 2 + zero; }
int CrashInThread(int n) {
  std::thread worker([] { zero = Work(static_cast<Item*>(nothing)); });
  worker.join();
  return n;
}

class Matrix {
 public:
  int operator()(int row, int column) const { return rows_[row][column]; }

 private:
  const volatile int* volatile rows_[2] = {};
};
int Trace(const Matrix& matrix) { return matrix(0, 2) + matrix(1, 3); }
int OperatorOfEmptyMatrix(int n) {
  const Matrix matrix;
  return Trace(matrix) + n;
}

namespace {
long Hidden(const volatile long* value) { return value[7] + 2; }
}  // namespace
int AnonymousNamespace(int n) { return static_cast<int>(Hidden(static_cast<long*>(nothing))) * n; }

class Tree {
 public:
  explicit Tree(Tree* parent) : parent_(parent != nullptr ? parent : this) {}
  int Depth() const {
    volatile int one = 1;
    return parent_->Depth() + one;
  }

 private:
  Tree* parent_;
};
int EndlessDepth(int n) {
  const Tree tree(nullptr);
  return tree.Depth() + n;
}

}  // namespace shop

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    int (*run)(int);
  } causes[] = {
      {"uncaught_exception", shop::UncaughtException},
      {"throw_from_noexcept", shop::ThrowFromNoexcept},
      {"pure_virtual_call", shop::PureVirtualCall},
      {"method_of_nothing", shop::MethodOfNothing},
      {"empty_function", shop::EmptyFunction},
      {"lambda_with_dangling_pointer", shop::LambdaWithDanglingPointer},
      {"empty_slot_in_template", shop::EmptySlotInTemplate},
      {"null_in_sort", shop::NullInSort},
      {"crash_in_cpp_thread", shop::CrashInThread},
      {"operator_of_empty_matrix", shop::OperatorOfEmptyMatrix},
      {"anonymous_namespace", shop::AnonymousNamespace},
      {"endless_depth", shop::EndlessDepth},
  };
  for (const auto& cause : causes) {
    if (argc > 1 && std::strcmp(argv[1], cause.name) == 0) return cause.run(1) + 1;
  }
  for (const auto& cause : causes) std::puts(cause.name);
}
