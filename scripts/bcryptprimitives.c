// What wine before 8.13 lacks, and every Rust program on Windows asks for: randomness. For scripts/cross only.
unsigned char __stdcall SystemFunction036(void *to, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(void *to, unsigned long long length) {
  return SystemFunction036(to, (unsigned long)length);
}
