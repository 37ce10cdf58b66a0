//! As much of an assembler as the toy guest needs: one method for each instruction, and labels.
//!
//! 64-bit mode. Absolute operands are 32 bits that the processor sign-extends, so they reach the low 2 GiB;
//! what lies higher is reached from RBX.

/// A place in the program, known from the start, bound once.
#[derive(Debug, Clone, Copy)]
pub struct Label(usize);

/// Emits machine code for a given load address.
#[derive(Debug)]
pub struct Assembler {
    base: u32,
    code: Vec<u8>,
    labels: Vec<Option<u32>>,
    /// Where an address has to be filled in, and of which label.
    fixups: Vec<(usize, Label, Fixup)>,
}

#[derive(Debug, Clone, Copy)]
enum Fixup {
    /// Distance from the end of the four bytes.
    Relative,
    /// Address.
    Absolute,
}

impl Assembler {
    /// A program that will run at `base`.
    pub fn new(base: u32) -> Self {
        Self {
            base,
            code: Vec::new(),
            labels: Vec::new(),
            fixups: Vec::new(),
        }
    }

    /// A label to be bound later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.here());
    }

    /// A label that is bound here.
    pub fn bound(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    /// The program, and the addresses of these labels. `None` if a label that is used was never bound.
    pub fn finish<const N: usize>(mut self, labels: [Label; N]) -> Option<(Vec<u8>, [u32; N])> {
        for (at, label, fixup) in std::mem::take(&mut self.fixups) {
            let target = self.labels[label.0]?;
            let end = self.base + at as u32 + 4;
            let value = match fixup {
                Fixup::Relative => target.wrapping_sub(end),
                Fixup::Absolute => target,
            };
            self.code[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let mut addresses = [0; N];
        for (address, label) in addresses.iter_mut().zip(labels) {
            *address = self.labels[label.0]?;
        }
        Some((self.code, addresses))
    }

    fn here(&self) -> u32 {
        self.base + self.code.len() as u32
    }

    fn emit(&mut self, opcode: &[u8]) {
        self.code.extend(opcode);
    }

    fn emit_with(&mut self, opcode: &[u8], operand: u32) {
        self.emit(opcode);
        self.emit(&operand.to_le_bytes());
    }

    fn emit_label(&mut self, opcode: &[u8], label: Label, fixup: Fixup) {
        self.emit(opcode);
        self.fixups.push((self.code.len(), label, fixup));
        self.emit(&[0; 4]);
    }

    /// Bytes that are data.
    pub fn data(&mut self, bytes: &[u8]) {
        self.emit(bytes);
    }
}

/// Emits one instruction: the name is its mnemonic and operands, `m` an absolute address.
macro_rules! instructions {
    ($($name:ident($($operand:ident: $kind:ident)?) = $($byte:literal)+;)*) => {
        #[allow(missing_docs, reason = "their names say it")]
        impl Assembler {
            $(pub fn $name(&mut self $(, $operand: instructions!(@type $kind))?) {
                instructions!(@emit self, [$($byte),+] $(, $operand $kind)?);
            })*
        }
    };
    (@type value) => { u32 };
    (@type address) => { u32 };
    (@type target) => { Label };
    (@type label) => { Label };
    (@emit $self:ident, $bytes:expr) => { $self.emit(&$bytes) };
    (@emit $self:ident, $bytes:expr, $operand:ident value) => { $self.emit_with(&$bytes, $operand) };
    (@emit $self:ident, $bytes:expr, $operand:ident address) => { $self.emit_with(&$bytes, $operand) };
    (@emit $self:ident, $bytes:expr, $operand:ident target) => {
        $self.emit_label(&$bytes, $operand, Fixup::Relative)
    };
    (@emit $self:ident, $bytes:expr, $operand:ident label) => {
        $self.emit_label(&$bytes, $operand, Fixup::Absolute)
    };
}

instructions! {
    // Ports.
    out_dx_al() = 0xee;
    in_al_dx() = 0xec;
    // 32-bit constants; the upper halves become 0.
    mov_eax(constant: value) = 0xb8;
    mov_ebx(constant: value) = 0xbb;
    mov_ecx(constant: value) = 0xb9;
    mov_edx(constant: value) = 0xba;
    mov_esi(place: label) = 0xbe;
    // Registers of devices, from RBX.
    mov_eax_rbx(offset: value) = 0x8b 0x83;
    mov_rbx_eax(offset: value) = 0x89 0x83;
    // 64-bit words in memory.
    mov_rcx_m(at: address) = 0x48 0x8b 0x0c 0x25;
    mov_rax_m(at: address) = 0x48 0x8b 0x04 0x25;
    cmp_rax_m(at: address) = 0x48 0x3b 0x04 0x25;
    mov_m_rax(at: address) = 0x48 0x89 0x04 0x25;
    inc_m(at: address) = 0x48 0xff 0x04 0x25;
    mov_r12_m(at: address) = 0x4c 0x8b 0x24 0x25;
    mov_r13_m(at: address) = 0x4c 0x8b 0x2c 0x25;
    add_r13_m(at: address) = 0x4c 0x03 0x2c 0x25;
    cmp_r13_m(at: address) = 0x4c 0x3b 0x2c 0x25;
    // Bytes and 16-bit words in memory; the rest of RAX becomes 0. The last is at twice RAX.
    movzx_eax_m8(at: address) = 0x0f 0xb6 0x04 0x25;
    movzx_eax_m16(at: address) = 0x0f 0xb7 0x04 0x25;
    cmp_ax_m(at: address) = 0x66 0x3b 0x04 0x25;
    inc_m16(at: address) = 0x66 0xff 0x04 0x25;
    mov_m16_rax_cx(at: address) = 0x66 0x89 0x0c 0x45;
    // Arithmetic.
    and_eax(constant: value) = 0x25;
    add_rax(constant: value) = 0x48 0x05;
    dec_rcx() = 0x48 0xff 0xc9;
    dec_r12() = 0x49 0xff 0xcc;
    test_al_al() = 0x84 0xc0;
    test_r12_r12() = 0x4d 0x85 0xe4;
    // Where to go on.
    jmp(to: target) = 0xe9;
    jz(to: target) = 0x0f 0x84;
    jnz(to: target) = 0x0f 0x85;
    jbe(to: target) = 0x0f 0x86;
    call(to: target) = 0xe8;
    ret() = 0xc3;
    // Strings: AL becomes the byte at RSI, which moves on.
    lodsb() = 0xac;
    // Interrupts.
    cli() = 0xfa;
    sti() = 0xfb;
    hlt() = 0xf4;
    push_rax() = 0x50;
    push_rbx() = 0x53;
    pop_rbx() = 0x5b;
    pop_rax() = 0x58;
    iretq() = 0x48 0xcf;
    lidt_m(at: address) = 0x0f 0x01 0x1c 0x25;
    ud2() = 0x0f 0x0b;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_from_their_end() {
        let mut code = Assembler::new(0x1000);
        let after = code.label();
        let start = code.bound();
        code.jmp(after);
        code.jz(start);
        code.bind(after);
        code.mov_esi(after);
        let (bytes, [at]) = code.finish([after]).unwrap();
        assert_eq!(bytes[..5], [0xe9, 6, 0, 0, 0]);
        assert_eq!(bytes[5..11], [0x0f, 0x84, 0xf5, 0xff, 0xff, 0xff]);
        assert_eq!(bytes[11..], [0xbe, 0x0b, 0x10, 0, 0]);
        assert_eq!(at, 0x100b);
    }

    #[test]
    fn a_label_that_is_nowhere_is_an_error() {
        let mut code = Assembler::new(0);
        let nowhere = code.label();
        code.jmp(nowhere);
        assert!(code.finish([]).is_none());
    }
}
