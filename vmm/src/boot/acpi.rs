//! ACPI tables: how a stock kernel finds its processors, its console, its disk, and the way to switch off.
//!
//! A "hardware-reduced" platform, which is one without the registers of a PC chip set: power-off and restart are
//! single ports. Devices stand in the DSDT; a serial port that is left out there has no interrupt.

use crate::error::Error;
use crate::layout::{
    ACPI_TABLES, HIGH_MEMORY, IO_APIC, LOCAL_APIC, RESET_PORT, SERIAL_GSI, SERIAL_PORT, SLEEP_CONTROL_PORT,
    SLEEP_STATUS_PORT, VIRTIO_SIZE,
};
use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, ONE, Package, Path, ResourceTemplate, Scope, ZERO,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const OEM: [u8; 6] = *b"RONDO ";
const TABLE: [u8; 8] = *b"RONDOVMM";
const REVISION: u32 = 1;
const TABLE_HEADER_SIZE: u32 = 36;

/// `iapc_boot_arch`: no VGA, no clock in CMOS. (A bit that is not set says that there is no keyboard controller.)
const NO_VGA: u16 = 1 << 2;
const NO_CMOS_CLOCK: u16 = 1 << 5;

/// A virtio device over MMIO, as the tables describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Where its registers are: [`VIRTIO_SIZE`] bytes.
    pub address: u32,
    /// Its interrupt line.
    pub gsi: u32,
}

/// Writes the tables; gives the address of the root pointer.
pub(super) fn write(memory: &GuestMemoryMmap, cpus: u32, virtio: &[VirtioMmio]) -> Result<u64, Error> {
    let mut area = Area {
        memory,
        // The root pointer comes first, and is written last.
        next: (ACPI_TABLES + Rsdp::len() as u64).next_multiple_of(16),
    };
    let dsdt = area.put(&dsdt(virtio))?;
    let fadt = area.put(&fadt(dsdt))?;
    let madt = area.put(&madt(cpus))?;
    let mut xsdt = XSDT::new(OEM, TABLE, REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = area.put(&xsdt)?;
    area.write(&Rsdp::new(OEM, xsdt), ACPI_TABLES)?;
    Ok(ACPI_TABLES)
}

/// Memory that is filled table by table.
struct Area<'m> {
    memory: &'m GuestMemoryMmap,
    next: u64,
}

impl Area<'_> {
    /// Puts a table after the last; gives its address.
    fn put(&mut self, table: &dyn Aml) -> Result<u64, Error> {
        let address = self.next;
        let size = self.write(table, address)?;
        self.next = (address + size).next_multiple_of(16);
        Ok(address)
    }

    fn write(&self, table: &dyn Aml, address: u64) -> Result<u64, Error> {
        let bytes = bytes(table);
        let size = bytes.len() as u64;
        if address + size > HIGH_MEMORY {
            return Err(Error::TooManyDevices);
        }
        self.memory
            .write_slice(&bytes, GuestAddress(address))
            .map_err(Error::guest_memory("the ACPI tables"))?;
        Ok(size)
    }
}

fn port(address: u16) -> GAS {
    GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        u64::from(address),
    )
}

fn fadt(dsdt: u64) -> impl Aml {
    let mut fadt = FADTBuilder::new(OEM, TABLE, REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        // Set means that there is none with fixed registers.
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    fadt.iapc_boot_arch = (NO_VGA | NO_CMOS_CLOCK).into();
    fadt.reset_reg = port(RESET_PORT);
    fadt.reset_value = 1;
    fadt.sleep_control_reg = port(SLEEP_CONTROL_PORT);
    fadt.sleep_status_reg = port(SLEEP_STATUS_PORT);
    fadt.finalize()
}

fn madt(cpus: u32) -> impl Aml {
    let local = LocalInterruptController::Address(LOCAL_APIC as u32);
    let mut madt = MADT::new(OEM, TABLE, REVISION, local);
    for index in 0..cpus.min(255) as u8 {
        madt.add_structure(ProcessorLocalApic::new(index, index, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, IO_APIC as u32, 0));
    madt
}

fn dsdt(virtio: &[VirtioMmio]) -> Sdt {
    let mut dsdt = Sdt::new(*b"DSDT", TABLE_HEADER_SIZE, 6, OEM, TABLE, REVISION);
    let ports = IO::new(SERIAL_PORT, SERIAL_PORT, 1, 8);
    let serial = device("COM1", &EISAName::new("PNP0501"), 0, &ports, SERIAL_GSI);
    dsdt.append_slice(&serial);
    for (number, virtio) in (0_u8..).zip(virtio) {
        let registers = Memory32Fixed::new(true, virtio.address, VIRTIO_SIZE as u32);
        let name = format!("VR{number:02X}");
        dsdt.append_slice(&device(&name, &"LNRO0005", number, &registers, virtio.gsi));
    }
    // Power-off is sleep type 5.
    let power_off = Package::new(vec![&5_u8, &ZERO, &ZERO, &ZERO]);
    dsdt.append_slice(&bytes(&Name::new(Path::new("_S5_"), &power_off)));
    dsdt
}

/// A device on the system bus with one range of registers, which takes part in cache coherence, and one interrupt:
/// edge-triggered, active high and not shared, which is what an irqfd gives.
fn device(name: &str, id: &dyn Aml, number: u8, registers: &dyn Aml, gsi: u32) -> Vec<u8> {
    let interrupt = Interrupt::new(true, true, false, false, gsi);
    let resources = ResourceTemplate::new(vec![registers, &interrupt]);
    let (id, uid) = (
        Name::new(Path::new("_HID"), id),
        Name::new(Path::new("_UID"), &number),
    );
    let coherent = Name::new(Path::new("_CCA"), &ONE);
    let resources = Name::new(Path::new("_CRS"), &resources);
    let device = Device::new(Path::new(name), vec![&id, &uid, &coherent, &resources]);
    bytes(&Scope::new(Path::new("_SB_"), vec![&device]))
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIRTIO: VirtioMmio = VirtioMmio {
        address: 0xd000_0000,
        gsi: 5,
    };

    fn read(memory: &GuestMemoryMmap, address: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    fn table(memory: &GuestMemoryMmap, address: u64) -> Vec<u8> {
        let size = read(memory, address + 4, 4);
        read(
            memory,
            address,
            u32::from_le_bytes(size.try_into().unwrap()) as usize,
        )
    }

    fn pointer(table: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(table[offset..offset + 8].try_into().unwrap())
    }

    /// As a kernel follows them: a wrong sum or pointer is a machine without devices.
    #[test]
    fn all_tables_are_found_from_the_root_and_add_up_to_zero() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        let rsdp = write(&memory, 4, &[VIRTIO]).unwrap();
        let root = read(&memory, rsdp, Rsdp::len());
        assert_eq!(&root[..8], b"RSD PTR ");
        let xsdt = table(&memory, pointer(&root, 24));
        let fadt = table(&memory, pointer(&xsdt, 36));
        let madt = table(&memory, pointer(&xsdt, 44));
        let dsdt = table(&memory, pointer(&fadt, 140));
        for (bytes, name) in [
            (&xsdt, b"XSDT"),
            (&fadt, b"FACP"),
            (&madt, b"APIC"),
            (&dsdt, b"DSDT"),
        ] {
            assert_eq!(&bytes[..4], name);
            let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            assert_eq!(sum, 0, "{}", String::from_utf8_lossy(name));
        }
        let find = |text: &[u8]| dsdt.windows(text.len()).any(|window| window == text);
        assert!(find(b"COM1") && find(b"VR00") && find(b"LNRO0005") && find(b"_S5_"));
        assert_eq!(madt.len(), 44 + 4 * 8 + 12);
    }

    #[test]
    fn as_many_processors_as_there_can_be_fit() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        assert!(write(&memory, 254, &[VIRTIO; 16]).is_ok());
    }
}
