//! A position by average cost: what a fill closes, and what that realises.

/// Events of one trade come within this time of each other, in microseconds.
pub const SAME_TRADE: i64 = 60_000_000;
/// Quantities that differ by less are the same.
pub const DUST: f64 = 1e-9;

/// A position in one symbol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position {
    /// Signed: below zero is short.
    quantity: f64,
    /// Average cost of one.
    average: f64,
    /// When it was last filled, in microseconds.
    filled_at: i64,
    /// What the engine says of it.
    pub said: Option<Holding>,
}

/// What the engine says that it holds.
#[derive(Debug, Clone, Copy)]
pub struct Holding {
    /// Signed quantity.
    pub size: f64,
    /// Average cost, if it was told.
    pub price: Option<f64>,
    /// When it was told, in microseconds.
    pub at: i64,
}

impl Position {
    /// Whether something is held, by the engine's word if that is newer than the last fill.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let size = self.said.filter(|said| said.at >= self.filled_at).map_or(self.quantity, |said| said.size);
        size.abs() > DUST
    }

    /// Takes a fill of a signed quantity; tells how much it closed, and what that realised.
    pub fn fill(&mut self, quantity: f64, price: f64, at: i64) -> Option<(f64, f64)> {
        if let Some(said) = self.said.filter(|said| said.at >= self.filled_at && at.saturating_sub(said.at) > SAME_TRADE) {
            // some engines tell a size without its sign
            let is_same = (said.size.abs() - self.quantity.abs()).abs() <= DUST;
            let quantity = if is_same { self.quantity } else { said.size };
            *self = Self { quantity, average: said.price.unwrap_or(self.average), ..*self };
        }
        self.said = self.said.filter(|said| said.at > at);
        self.filled_at = at;
        let before = self.quantity;
        self.quantity += quantity;
        if self.quantity.abs() <= DUST {
            self.quantity = 0.0;
        }
        if before * quantity >= 0.0 {
            let total = before.abs() + quantity.abs();
            self.average = (self.average * before.abs() + price * quantity.abs()) / total;
            return None;
        }
        let closed = before.abs().min(quantity.abs());
        // an average that is no binary fraction differs from an equal price by rounding alone
        let gain = Some(price - self.average).filter(|gain| gain.abs() > DUST * price.abs()).unwrap_or(0.0);
        let pnl = gain * closed * before.signum();
        if self.quantity * before < 0.0 {
            self.average = price;
        }
        Some((closed, pnl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_at_the_average_realises_nothing_however_the_average_was_rounded() {
        let mut position = Position::default();
        for price in [0.1, 0.2, 0.3] {
            position.fill(1.0, price, 0);
        }
        assert_eq!(position.fill(-3.0, 0.2, 0), Some((3.0, 0.0)));
    }
}
