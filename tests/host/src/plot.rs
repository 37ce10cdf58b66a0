//! Plots for pages: lines with dots, in panels beside each other, as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::path::Path;

/// Pixels of a panel.
const PANEL: (u32, u32) = (460, 300);
/// Pixels of a row of the legend.
const LEGEND_ROW: u32 = 22;
/// Pixels of the title.
const TITLE: u32 = 34;

/// Told apart also by those who see no red (Okabe and Ito's palette).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// How the vertical axis goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// By equal steps, from 0.
    Linear,
    /// By factors of ten, for figures of which one is a hundred times another.
    Logarithmic,
}

/// One panel: the same lines in all panels of a plot, in the same order.
pub struct Panel {
    /// What it shows, and in which unit.
    pub title: String,
    /// Its vertical axis.
    pub scale: Scale,
    /// The points of each line, by x.
    pub lines: Vec<Vec<(f64, f64)>>,
}

/// What is drawn.
pub struct Plot<'a> {
    /// Above all panels.
    pub title: &'a str,
    /// Of the horizontal axis of each.
    pub x: &'a str,
    /// The names of the lines.
    pub names: &'a [String],
    /// From left to right, two in a row.
    pub panels: &'a [Panel],
}

impl Plot<'_> {
    /// Draws it into a file.
    ///
    /// # Errors
    /// There is nothing to draw, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let rows = self.panels.len().div_ceil(2);
        let legend = LEGEND_ROW * (self.names.len() as u32).div_ceil(2) + 10;
        let size = (2 * PANEL.0, TITLE + rows as u32 * PANEL.1 + legend);
        let root = SVGBackend::new(path, size).into_drawing_area();
        self.draw(&root, rows, legend)
            .map_err(|error| anyhow!("{}: {error}", path.display()))
    }

    fn draw(&self, root: &DrawingArea<SVGBackend, Shift>, rows: usize, legend: u32) -> Result<()> {
        root.fill(&WHITE)?;
        let titled = root.titled(self.title, ("sans-serif", 20))?;
        let (panels, names) = titled.split_vertically(titled.dim_in_pixel().1 - legend);
        for (panel, area) in self.panels.iter().zip(panels.split_evenly((rows, 2))) {
            self.panel(panel, &area)?;
        }
        for (index, (name, colour)) in self.names.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let row = (index as u32 / 2 * LEGEND_ROW).cast_signed() + 14;
            let left = (index as u32 % 2 * PANEL.0).cast_signed() + 50;
            names.draw(&PathElement::new(
                [(left, row), (left + 24, row)],
                colour.stroke_width(2),
            ))?;
            names.draw(&Circle::new((left + 12, row), 4, colour.filled()))?;
            names.draw(&Text::new(
                name.as_str(),
                (left + 32, row - 7),
                ("sans-serif", 15),
            ))?;
        }
        Ok(root.present()?)
    }

    fn panel(&self, panel: &Panel, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let points = || panel.lines.iter().flatten();
        let x_max = points().map(|point| point.0).fold(0.0, f64::max);
        let y_max = points().map(|point| point.1).fold(0.0, f64::max);
        anyhow::ensure!(x_max > 0.0 && y_max > 0.0, "{} has nothing above 0", panel.title);
        let x = 0.0..x_max * 1.05;
        match panel.scale {
            Scale::Linear => self.lines(panel, area, x, 0.0..y_max * 1.1),
            Scale::Logarithmic => {
                let positive = points().map(|point| point.1).filter(|&y| y > 0.0);
                let floor = 10f64.powf(positive.fold(y_max, f64::min).log10().floor());
                let roof = 10f64.powf(y_max.log10().ceil()).max(floor * 10.0);
                // A little more, or rounding loses the label at either end.
                self.lines(panel, area, x, (floor * 0.99..roof * 1.01).log_scale())
            }
        }
    }

    fn lines<Y>(
        &self,
        panel: &Panel,
        area: &DrawingArea<SVGBackend, Shift>,
        x: std::ops::Range<f64>,
        y: Y,
    ) -> Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, ("sans-serif", 16))
            .margin(10)
            .margin_right(20)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(1)
            .x_desc(self.x)
            .x_label_formatter(&|value| value.to_string())
            .y_label_formatter(&|value| value.to_string())
            .label_style(("sans-serif", 13))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let floor = chart.y_range().start;
        for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
            // A 0 has no place on a logarithmic axis: it lies on its floor.
            let line: Vec<_> = line.iter().map(|&(x, y)| (x, y.max(floor))).collect();
            let dots = line.iter().map(|&point| Circle::new(point, 4, colour.filled()));
            let dots: Vec<_> = dots.collect();
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            chart.draw_series(dots)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(scale: Scale, lines: Vec<Vec<(f64, f64)>>) -> Result<String> {
        let file = tempfile::NamedTempFile::new()?;
        let panel = Panel {
            title: "CPU seconds".to_owned(),
            scale,
            lines,
        };
        let plot = Plot {
            title: "Title",
            x: "machines",
            names: &["one".to_owned(), "two".to_owned()],
            panels: &[panel],
        };
        plot.write(file.path())?;
        Ok(std::fs::read_to_string(file.path())?)
    }

    #[test]
    fn every_point_has_a_dot_and_every_line_a_name() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let lines = vec![
                vec![(10.0, 0.0), (50.0, 3.0), (100.0, 7.0)],
                vec![(10.0, 90.0), (50.0, 400.0)],
            ];
            let svg = drawn(scale, lines).unwrap();
            // And one for each name.
            assert_eq!(svg.matches("<circle").count(), 5 + 2);
            for text in ["Title", "CPU seconds", "machines", "one", "two"] {
                assert!(svg.contains(text), "{text}");
            }
        }
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        assert!(drawn(Scale::Linear, vec![vec![(10.0, 0.0)]]).is_err());
        assert!(drawn(Scale::Logarithmic, vec![]).is_err());
    }
}
